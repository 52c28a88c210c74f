"""The endpoint as an application of its own, for a process that does nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringback_receiver._endpoint import Endpoint, Receive, Scope, Send

if TYPE_CHECKING:
    from ringback_receiver._receiver import Receiver

__all__ = ["Application"]


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
            if scope["path"] != self._path:
                await _answer(send, 404)
            elif scope["method"] != "POST":
                await _answer(send, 405, (b"allow", b"POST"))
            else:
                await self._endpoint(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close"})  # before it is accepted: the server answers 403

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._receiver.__aenter__()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:
            await self._receiver.__aexit__(None, None, None)
        await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    head = [(b"content-length", b"0"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": b""})
