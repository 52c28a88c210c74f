"""The caller's system as a process of its own: it can be killed at any time and started on the same store.

``POST /trigger`` asks for a run through the receiver, as the caller's own code would; with the same run id again it is
the same request, so whoever asks may ask until it is answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse

from chaos._front import Front
from chaos._wire import Wire
from demo.serving import serving_app
from ringback_receiver import AsyncAirflowClient, Completion, Receiver, ReceiverError
from ringback_receiver._airflow_errors import AirflowError

__all__ = ["Files", "ReceiverConfig"]


class ReceiverConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told.

    :param key: public, of who signs.
    :param hang: seconds that a hung request takes.
    """

    callback_url: str
    key: str
    airflow_url: str
    username: str
    password: str
    seed: int
    hang: float


class Files:
    """The files in the receiver's folder."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "receiver.json"
        self.store = folder / "ringback.db"
        self.wire = folder / "wire.jsonl"
        self.handled = folder / "handled.jsonl"
        self.calm = folder / "calm"


def application(receiver: Receiver, files: Files) -> FastAPI:
    """Return what a caller's system would be: the router, a trigger, a handler."""
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    handled = os.open(files.handled, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @receiver.on_completion(name="chaos")
    async def note(completion: Completion) -> None:
        line = {"event_id": completion.event_id, "run_id": completion.run_id, "revision": completion.revision}
        os.write(handled, msgspec.json.encode({"at": time.time(), **line}) + b"\n")

    @app.post("/trigger")
    async def trigger(asked: Annotated[dict[str, Any], Body()]) -> JSONResponse:
        logical_date = asked.get("logical_date")
        try:
            handle = await receiver.trigger(
                asked["dag_id"],
                conf=asked["conf"],
                run_id=asked["run_id"],
                logical_date=datetime.fromisoformat(logical_date) if logical_date else None,
                events=asked.get("events"),
            )
        except (ReceiverError, AirflowError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 503)
        return JSONResponse({"request_id": handle.request_id})

    return app


async def serve(folder: Path, life: int) -> None:
    """Serve until SIGTERM."""
    files = Files(folder)
    config = msgspec.json.decode(files.config.read_bytes(), type=ReceiverConfig)
    url = urlsplit(config.callback_url)
    assert url.port is not None
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncAirflowClient(
        config.airflow_url, username=config.username, password=config.password, timeout=30, trust_env=False
    ) as client:
        # What is tried is whether everything is rung: a reconciler would make good what is not.
        receiver = Receiver(config.callback_url, [config.key], client, f"sqlite:///{files.store}", reconcile=())
        front = Front(
            application(receiver, files),
            path=url.path,
            wire=Wire(files.wire),
            chance=random.Random(f"{config.seed}/receiver/{life}"),
            calm=files.calm,
            hang=config.hang,
        )
        async with serving_app(front, url.port):
            await stop.wait()


def main() -> None:
    """Serve from the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("life", type=int, help="how often it was started, counting this time")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.folder, arguments.life))


if __name__ == "__main__":
    main()
