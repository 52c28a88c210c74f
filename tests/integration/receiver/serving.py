"""A real uvicorn on a free loopback port, in this event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from ringback_receiver import Receiver

__all__ = ["free_socket", "serving"]


def free_socket() -> socket.socket:
    """Listen where nobody else does."""
    # Only where the protocol is named does asyncio spare each answer the 40 ms that Nagle's algorithm costs.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


@asynccontextmanager
async def serving(receiver: Receiver, *, alone: bool = False, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the receiver's router, the way a user's application does; opens and closes the receiver.

    :param alone: without a framework.
    :param settings: of uvicorn.
    """
    app: Any = receiver.asgi
    if not alone:
        app = FastAPI(lifespan=receiver.lifespan)
        app.include_router(receiver.router)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", **settings))
    with free_socket() as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        host, port = listener.getsockname()
        try:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
                yield client
        finally:
            server.should_exit = True
            await task
