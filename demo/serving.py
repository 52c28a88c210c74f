"""Put an ASGI application on the air inside a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from ringback_receiver import Receiver

__all__ = ["serving", "serving_app"]


@asynccontextmanager
async def serving(receiver: Receiver, port: int) -> AsyncIterator[None]:
    """Serve a receiver under uvicorn, as a caller's application would."""
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    async with serving_app(app, port):
        yield


@asynccontextmanager
async def serving_app(app: Any, port: int) -> AsyncIterator[None]:
    """Serve an ASGI application on a port of 127.0.0.1; signals stay with whoever runs the loop."""
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="on"))
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.02)
            if task.done():
                await task
                raise RuntimeError(f"nothing could be served on port {port}")
        yield
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
