"""What ``ringback listen`` serves: a small ASGI application that verifies, answers, tells, and perhaps passes on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ringback_cli.event_checks import WORDS, audiences_of
from ringback_cli.forwarder import Forwarder
from ringback_cli.seen import Seen
from ringback_protocol import VerificationError, verify_event
from ringback_receiver._answer import Answer, answer_refusal
from ringback_receiver._bodies import Bodies
from ringback_receiver._key_source import KeySource
from ringback_receiver._preconditions import Refused, check_head
from ringback_receiver.errors import KeysUnavailable

__all__ = ["Listener"]

_MOST_AT_ONCE = 100
_BODY_SECONDS = 10.0
_RECORDED = Answer(status=204, headers={}, body=b"", outcome="verified")


class Listener:
    """An ASGI application; it takes a POST to any path.

    :param url: the callback URL that events must be addressed to, or ``None`` for any.
    :param tell: is given everything that comes in, when it is answered.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        url: str | None,
        forwarder: Forwarder | None,
        tell: Callable[[Seen], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._url = url
        self._forwarder = forwarder
        self._tell = tell
        self._clock = clock
        self._bodies = Bodies(most=_MOST_AT_ONCE, seconds=_BODY_SECONDS)

    @asynccontextmanager
    async def open(self, destination: str) -> AsyncIterator[None]:
        """Be ready while the block runs.

        :param destination: whose keys are meant, where they are asked for.
        """
        await self._keys.open(destination, most_waiting=_MOST_AT_ONCE)
        try:
            yield
        finally:
            await self._keys.close()
            if self._forwarder is not None:
                await self._forwarder.aclose()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Take one request."""
        if scope["type"] != "http":
            return
        seen, answer, leaving = await self._answer(scope, receive)
        headers = dict(answer.headers)
        if answer.body:
            headers["content-length"] = str(len(answer.body))
        if leaving:
            headers["connection"] = "close"
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            await send({"type": "http.response.body", "body": answer.body})
        finally:
            # Afterwards: an event that was passed on is answered so, whoever reads what is told.
            self._tell(seen)

    async def _answer(self, scope: Any, receive: Any) -> tuple[Seen, Answer, bool]:
        """Return the answer, too, and whether the connection ends with it because the body was not read."""
        at = self._clock()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            if scope["method"] != "POST":
                raise Refused(405, "method_not_allowed")
            check_head(scope["headers"])
            body = await self._bodies.read(receive)
        except Refused as refused:
            said = f"{scope['method']} {scope['path']}"[:200]
            seen = Seen(received_at=at, verdict=refused.reason, status=refused.status, said=said, headers=headers)
            return seen, answer_refusal(refused.status, refused.reason), True
        return *await self._taken(at, headers, body), False

    async def _taken(self, at: float, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[Seen, Answer]:
        audiences = audiences_of(self._url, body)
        try:
            event = await self._keys.verify(
                lambda keys: verify_event(headers, body, keys=keys, audiences=audiences, now=at)
            )
        except (VerificationError, KeysUnavailable) as error:
            said = WORDS[error.refusal] if isinstance(error, VerificationError) else str(error)
            seen = Seen(
                received_at=at, verdict=error.reason, status=error.status, said=said, headers=headers, body=body
            )
            return seen, answer_refusal(error.status, error.reason)
        forwarded, answer = None, _RECORDED
        if self._forwarder is not None:
            forwarded, answer = await self._forwarder.post(headers, body)
        seen = Seen(
            received_at=at,
            verdict="verified",
            status=answer.status,
            event=event,
            forwarded=forwarded,
            headers=headers,
            body=body,
        )
        return seen, answer
