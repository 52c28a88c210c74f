"""What ``ringback listen`` serves: a small ASGI application that verifies, tells, and perhaps passes on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import anyio
import httpx

from ringback_cli.captured import request_member
from ringback_cli.event_checks import WORDS, audiences_of
from ringback_protocol import CompletionEvent, VerificationError, verify_event
from ringback_receiver._answer import Answer, answer_refusal
from ringback_receiver._bodies import Bodies
from ringback_receiver._key_source import KeySource
from ringback_receiver._preconditions import Refused, check_head
from ringback_receiver.errors import KeysUnavailable

__all__ = ["Forwarded", "Forwarder", "Listener", "Seen"]

_MOST_AT_ONCE = 100
_BODY_SECONDS = 10.0
_FORWARD_SECONDS = 10.0
_LARGEST_ANSWER = 65_536
_OF_ONE_HOP = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""RFC 9110, section 7.6.1, and what the next request sets itself."""
_RECORDED = Answer(status=204, headers={}, body=b"", outcome="verified")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarded:
    """What became of an event that was passed on.

    :param status: of the answer, or ``None`` if there was none.
    :param error: why there was none.
    """

    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request, and what came of it.

    :param verdict: ``verified``, or the code of what is wrong.
    :param said: what is wrong, in words.
    :param status: that it was answered with.
    """

    received_at: float
    verdict: str
    status: int
    said: str = ""
    event: CompletionEvent | None = None
    forwarded: Forwarded | None = None
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def line(self) -> str:
        """Return it for people."""
        moment = datetime.fromtimestamp(self.received_at, timezone.utc).strftime("%H:%M:%SZ")
        if self.event is None:
            return f"{moment}  {self.status}  refused: {self.verdict}: {self.said}"
        data = self.event.data
        told = "  ".join((self.event.type, data.dag_id, data.run_id, data.state, f"by {data.reported_by}", "verified"))
        passed = ""
        if self.forwarded is not None:
            passed = f"  forwarded: {self.forwarded.status or self.forwarded.error}"
        return f"{moment}  {self.status}  {told}{passed}"

    def members(self) -> dict[str, Any]:
        """Return it for programs."""
        data = self.event.data if self.event is not None else None
        return {
            "received_at": self.received_at,
            "verdict": self.verdict,
            "said": self.said,
            "status": self.status,
            "type": self.event.type if self.event is not None else None,
            "dag_id": data and data.dag_id,
            "run_id": data and data.run_id,
            "state": data and data.state,
            "reported_by": data and data.reported_by,
            "forwarded": self.forwarded,
            "request": request_member(self.headers, self.body),
        }


class Forwarder:
    """Passes requests on, to one URL and no other: no redirects, no proxies of the environment, one deadline."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.AsyncClient(timeout=None, trust_env=False, follow_redirects=False)  # noqa: S113 - below

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[Forwarded, Answer]:
        """Pass a request on; what is answered there, or 502, is the answer to it."""
        kept = [(name, value) for name, value in headers if name.lower() not in _OF_ONE_HOP]
        error = "no answer in time"
        try:
            with anyio.fail_after(_FORWARD_SECONDS):
                # A list and not a mapping: a header that comes twice comes twice there, too.
                async with self._http.stream("POST", self._url, headers=kept, content=body) as response:
                    said = b""
                    async for chunk in response.aiter_raw():
                        said += chunk
                        if len(said) > _LARGEST_ANSWER:
                            break
                    return Forwarded(status=response.status_code), _passed_back(response, said[:_LARGEST_ANSWER])
        except TimeoutError:
            pass
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failure:
            error = str(failure) or type(failure).__name__
        return Forwarded(error=error), answer_refusal(502, "not_forwarded")


def _passed_back(response: httpx.Response, body: bytes) -> Answer:
    names = ("content-type", "content-encoding", "retry-after")
    headers: Mapping[str, str] = {name: response.headers[name] for name in names if name in response.headers}
    bare = response.status_code in (204, 304)
    return Answer(
        status=response.status_code,
        headers={} if bare else headers,
        body=b"" if bare else body,
        outcome="forwarded",
    )


class Listener:
    """An ASGI application; it takes a POST to any path.

    :param url: the callback URL that events must be addressed to, or ``None`` for any.
    :param tell: is given everything that comes in.
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
        answer, leaving = await self._answer(scope, receive)
        headers = dict(answer.headers)
        if answer.body:
            headers["content-length"] = str(len(answer.body))
        if leaving:
            headers["connection"] = "close"
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Any, receive: Any) -> tuple[Answer, bool]:
        """Return the answer, and whether the connection ends with it because the body was not read."""
        at = self._clock()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        try:
            if scope["method"] != "POST":
                raise Refused(405, "method_not_allowed")
            check_head(scope["headers"])
            body = await self._bodies.read(receive)
        except Refused as refused:
            said = f"{scope['method']} {scope['path']}"[:200]
            self._tell(Seen(received_at=at, verdict=refused.reason, status=refused.status, said=said, headers=headers))
            return answer_refusal(refused.status, refused.reason), True
        seen, answer = await self._taken(at, headers, body)
        self._tell(seen)
        return answer, False

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
