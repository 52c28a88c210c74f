"""One exchange with a receiver, short of sending: what goes out, and what its answer or silence means."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

import httpcore
import httpx

from ringback_notifier._destination import Destination
from ringback_notifier._policy import Answer, NoAnswer, retry_after_seconds
from ringback_notifier._version import VERSION
from ringback_protocol import sign

__all__ = ["MAX_ANSWER_BYTES", "Delivery", "answer_of", "no_answer", "request_headers", "settles"]

MAX_ANSWER_BYTES = 4_096
_EXCERPT_BYTES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An encoded event on its way.

    :param url: the callback URL, allowed by the destination.
    :param body: the raw bytes that are signed and sent.
    """

    event_id: str
    url: str
    body: bytes
    destination: Destination


def request_headers(delivery: Delivery) -> dict[str, str]:
    """Return the headers of one attempt, signed now."""
    destination = delivery.destination
    return {
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"ringback/{VERSION}",
        **destination.headers,
        "content-type": destination.content_type,
        **sign(delivery.event_id, delivery.body, keys=destination.keys, timestamp=int(time.time())),
    }


def settles(status: int) -> bool:
    """Tell whether the status says it all, so that a body that never comes cannot turn a delivery into a failure."""
    return 200 <= status < 300 or status == httpx.codes.GONE


def answer_of(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read an answer.

    :param headers: with a case-insensitive look-up.
    :param body: its start.
    """
    text = body[:_EXCERPT_BYTES].decode("utf-8", "replace")
    return Answer(
        status=status,
        retry_after=retry_after_seconds(headers.get("retry-after"), now=datetime.now(timezone.utc)),
        excerpt="".join(char if char.isprintable() else "·" for char in text),
    )


def no_answer(error: Exception) -> NoAnswer:
    """Say why there is no answer: ``timeout: …``, ``connect: …``, ``connection: …`` or ``protocol: …``."""
    kind = (
        "timeout"
        if isinstance(error, httpx.TimeoutException | httpcore.TimeoutException)
        else "connect"
        if isinstance(error, httpx.ConnectError | httpcore.ConnectError)
        else "connection"
        if isinstance(error, httpx.NetworkError | httpcore.NetworkError | OSError)
        else "protocol"
    )
    return NoAnswer(error=f"{kind}: {error}")
