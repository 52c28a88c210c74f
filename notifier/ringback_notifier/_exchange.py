"""One exchange with a receiver, short of sending: what goes out, and what its answer or silence means."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus

import httpcore

from ringback_notifier._destination import Destination
from ringback_notifier._policy import Answer, NoAnswer, retry_after_seconds
from ringback_notifier._resolver import ResolverBusy
from ringback_notifier._version import VERSION
from ringback_notifier.errors import AddressRefused
from ringback_protocol import CallbackUrl, CallbackUrlError, sign
from ringback_protocol.trace_context import TRACEPARENT

__all__ = ["FAILURES", "MAX_ANSWER_BYTES", "Delivery", "answer_of", "no_answer", "request_headers", "settles"]

MAX_ANSWER_BYTES = 4_096
_EXCERPT_CHARS = 500
_WINDOW = 25
_SECRET_CHARS = 8
"""From how many characters on a header's value may be a secret."""

# OpenSSL's servers tell a client that they want to see a certificate; asyncio's, and so uvicorn, only close.
_CUT = (
    "connection: the server closed the connection without an answer; over https it may demand a client certificate "
    "(client_cert)"
)
_SILENCE = frozenset({"", "Server disconnected without sending a response."})
"""How httpcore says that a server closed the connection."""

FAILURES = (
    AddressRefused,
    CallbackUrlError,
    OSError,  # httpcore lets an ssl.SSLError through, such as TLS 1.3's late refusal of a client
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
)
"""What an attempt may end with, short of an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An encoded event on its way.

    :param url: the callback URL, allowed by the destination.
    :param body: the raw bytes that are signed and sent.
    :param traceparent: W3C trace context to send with it.
    """

    event_id: str
    url: str
    body: bytes
    destination: Destination
    traceparent: str | None = None


def request_headers(delivery: Delivery, url: CallbackUrl) -> list[tuple[bytes, bytes]]:
    """Return the headers of one attempt, signed now.

    :param url: the delivery's, taken apart.
    """
    destination = delivery.destination
    headers = {
        "host": url.authority,
        "content-length": str(len(delivery.body)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"ringback/{VERSION}",
        **destination.headers,
        "content-type": destination.content_type,
        **({TRACEPARENT: delivery.traceparent} if delivery.traceparent is not None else {}),
        **sign(delivery.event_id, delivery.body, keys=destination.keys, timestamp=int(time.time())),
    }
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def settles(status: int) -> bool:
    """Tell whether the status says it all, so that a body that never comes cannot turn a delivery into a failure."""
    return 200 <= status < 300 or status == HTTPStatus.GONE


def answer_of(delivery: Delivery, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Answer:
    """Read an answer.

    :param delivery: what it answers.
    :param body: its start.
    """
    text = _without_secrets(body.decode("utf-8", "replace"), delivery.destination)[:_EXCERPT_CHARS]
    if _repeats(text, delivery.body):
        text = "(an answer that repeats what it was sent)"
    retry_after = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    return Answer(
        status=status,
        retry_after=retry_after_seconds(retry_after.decode("latin-1"), now=datetime.now(timezone.utc)),
        excerpt="".join(char if char.isprintable() else "·" for char in text),
    )


def _without_secrets(text: str, destination: Destination) -> str:
    """Return what a receiver said without the headers that it was sent, which some repeat in their errors."""
    for value in destination.headers.values():
        for secret in (value, value.split()[-1] if value else ""):  # "Bearer …", or what comes behind it
            if len(secret) >= _SECRET_CHARS:
                text = text.replace(secret, "…")
    return text


def _repeats(text: str, body: bytes) -> bool:
    """Tell whether an answer shows any fifty bytes of the event: what the event says belongs in no log.

    As it was sent, or quoted: inside a JSON text every quotation mark of the event has a backslash.
    """
    said = text.encode("utf-8")
    return _share(said, body) or _share(said.replace(b"\\", b""), body.replace(b"\\", b""))


def _share(said: bytes, body: bytes) -> bool:
    return any(said[at : at + _WINDOW] in body for at in range(0, len(said) - _WINDOW + 1, _WINDOW))


def no_answer(error: Exception) -> NoAnswer:
    """Say why there is no answer.

    ``timeout: …``, ``connect: …``, ``connection: …``, ``protocol: …``, or ``address: …`` if the guard refused one.
    """
    kind = (
        "address"
        if isinstance(error, AddressRefused)
        else "timeout"
        if isinstance(error, httpcore.TimeoutException | TimeoutError)
        else "connect"
        if isinstance(error, httpcore.ConnectError | httpcore.ProxyError)
        else "connection"
        if isinstance(error, httpcore.NetworkError | OSError)
        else "protocol"
    )
    if kind in ("connection", "protocol") and _is_cut(error):
        return NoAnswer(error=_CUT)
    return NoAnswer(
        error=f"{kind}: {str(error) or type(error).__name__}",
        of_host=not isinstance(error, AddressRefused | ResolverBusy),
    )


def _is_cut(error: Exception) -> bool:
    """Tell whether the server closed the connection, or broke it, instead of an answer."""
    cause = error.__cause__ or error
    return str(error) in _SILENCE or isinstance(cause, ConnectionResetError | ConnectionAbortedError | BrokenPipeError)
