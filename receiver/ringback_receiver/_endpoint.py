"""What takes a completion event from an ASGI server, in whichever application (ASGI HTTP specification)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ringback_receiver._bodies import Bodies, Receive
from ringback_receiver._preconditions import Refused, check_head

if TYPE_CHECKING:
    from ringback_receiver._answer import Answer
    from ringback_receiver._receiver import Receiver

__all__ = ["Endpoint", "Receive", "Scope", "Send"]

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Endpoint:
    """An ASGI application: a framework's request and response objects cost more than verifying a signature.

    :param bodies: reads them.
    """

    def __init__(self, receiver: Receiver, bodies: Bodies) -> None:
        self._receiver = receiver
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer, headers = await self.answer(scope, receive)
        if answer.body:
            headers["content-length"] = str(len(answer.body))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    async def answer(self, scope: Scope, receive: Receive) -> tuple[Answer, dict[str, str]]:
        """Return the answer to a request, and its headers."""
        headers = scope["headers"]
        try:
            check_head(headers)
            body = await self._bodies.read(receive)
        except Refused as refused:
            answer = self._receiver.refuse(refused.status, refused.reason, headers)
            # What was not read is not waited for either. HTTP/2 has no such header, and no such trouble.
            leaving = {"connection": "close"} if scope["http_version"].startswith("1") else {}
            return answer, {**answer.headers, **leaving}
        answer = await self._receiver.handle(headers, body)
        return answer, dict(answer.headers)
