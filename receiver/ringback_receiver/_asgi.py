"""The endpoint as an application of its own, for a process that does nothing else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ringback_receiver._endpoint import Endpoint, Receive, Scope, Send
from ringback_receiver.errors import ReceiverError

if TYPE_CHECKING:
    from ringback_receiver._receiver import Receiver

__all__ = ["Application"]

log = logging.getLogger("ringback_receiver")


class Application:
    """An ASGI application with one endpoint, which keeps its receiver open while the server runs.

    Source: the ASGI specifications, "HTTP & WebSocket ASGI Message Format" and "Lifespan Protocol".

    :param path: of the endpoint, without percent-encoding.
    """

    def __init__(self, receiver: Receiver, endpoint: Endpoint, path: str) -> None:
        self._receiver = receiver
        self._endpoint = endpoint
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not self._is_ours(scope):
                await _answer(scope, send, 404)
            elif scope["method"] != "POST":
                await _answer(scope, send, 405, (b"allow", b"POST"))
            else:
                await self._endpoint(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: the server answers 403
        else:
            raise NotImplementedError(f"ASGI {scope['type']!r}")  # as the specification wants it

    def _is_ours(self, scope: Scope) -> bool:
        """Tell whether it is our path; behind a proxy that takes a part away, servers put that in front again."""
        return scope["path"] in (self._path, scope.get("root_path", "") + self._path)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._receiver.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": _said("open", error)})
            return
        await send({"type": "lifespan.startup.complete"})
        failure = None
        try:
            await receive()
        finally:
            try:
                await self._receiver.__aexit__(None, None, None)
            except Exception as error:
                failure = _said("close", error)
        if failure is None:
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await send({"type": "lifespan.shutdown.failed", "message": failure})


def _said(what: str, error: Exception) -> str:
    """Return what the server shall log; the log has the rest, where it is not our own word."""
    if isinstance(error, ReceiverError):
        return str(error)
    log.error("the receiver cannot %s", what, exc_info=error)
    return f"{type(error).__name__}: {error}"


async def _answer(scope: Scope, send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    head = [(b"content-length", b"0"), *headers]
    if scope["http_version"].startswith("1"):
        head.append((b"connection", b"close"))  # the body was not read
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": b""})
