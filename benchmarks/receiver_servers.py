"""The servers that benchmarks/receiver_throughput.py compares, each run as a process of its own.

Ours is what the README shows, in FastAPI, and what docs/deploy.md shows for a process that does nothing else.  The
others are what people write by hand: a bare route that does nothing; a handler that verifies with ``standardwebhooks``
and keeps everything in memory; one that verifies as we do and makes each event durable with SQLAlchemy, in a
transaction of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import create_async_engine
from standardwebhooks import Webhook

from ringback_protocol import parse_verification_keys, verify_event
from ringback_receiver import Receiver
from ringback_receiver._schema import metadata

__all__ = ["PATH", "URL"]

PATH = "/airflow/completions"
URL = f"https://portal.example{PATH}"


def ours(key: str, store: str) -> FastAPI:
    """The receiver."""
    receiver = Receiver(URL, key, store=store)
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    return app


def alone(key: str, store: str) -> Any:
    """The receiver without a framework."""
    app = Receiver(URL, key, store=store).asgi
    gc.freeze()
    return app


def bare(key: str, store: str) -> FastAPI:
    """A route that does nothing."""
    app = FastAPI()

    @app.post(PATH, status_code=204)
    async def take() -> None:
        return None

    return app


def standardwebhooks(key: str, store: str) -> FastAPI:
    """Verified by the library, matched in a dictionary, and gone with the process."""
    app, webhook = FastAPI(), Webhook(key)
    pending: dict[str, asyncio.Future[Any]] = {}
    seen: set[str] = set()

    @app.post(PATH, status_code=204)
    async def take(request: Request) -> Response:
        body = await request.body()
        event = webhook.verify(body, dict(request.headers))
        if event["audience"] != URL:
            return Response(status_code=403)
        if event["id"] not in seen:
            seen.add(event["id"])
            future = pending.pop(event["correlationid"], None)
            if future is not None:
                future.set_result(event)
        return Response(status_code=204)

    return app


def sqlalchemy(key: str, store: str) -> FastAPI:
    """Verified as we do, and made durable one by one."""
    app, keys = FastAPI(), parse_verification_keys(key)
    if store.startswith("postgresql"):
        engine = create_async_engine(
            store.replace("postgresql:", "postgresql+psycopg:"),
            pool_size=16,
            connect_args={"options": "-c search_path=ringback"},
        )
    else:
        engine = create_async_engine(store.replace("sqlite:", "sqlite+aiosqlite:"))
    requests, events = metadata.tables["requests"], metadata.tables["events"]

    @app.post(PATH, status_code=204)
    async def take(request: Request) -> Response:
        body = await request.body()
        event = verify_event(request.headers.raw, body, keys=keys, audiences=[URL], now=time.time())
        async with engine.begin() as connection:
            mine = requests.c.request_id == event.correlationid
            state = (await connection.execute(select(requests.c.state).where(mine))).scalar()
            row = {
                "event_id": event.id,
                "request_id": event.correlationid,
                "correlation_id": event.correlationid,
                "dag_id": event.data.dag_id,
                "run_id": event.data.run_id,
                "transition": "resolved" if state == "pending" else "revised",
                "received_at": time.time(),
                "body": body,
            }
            await connection.execute(events.insert().values(row))
            await connection.execute(update(requests).where(mine).values(state="resolved", event_id=event.id))
        return Response(status_code=204)

    return app


_SERVERS: dict[str, Callable[[str, str], Any]] = {
    "ours": ours,
    "alone": alone,
    "bare": bare,
    "standardwebhooks": standardwebhooks,
    "sqlalchemy": sqlalchemy,
}


def main() -> None:
    """Serve: what, with which key, on which store; the port is the first line."""
    what, key, store, settings = sys.argv[1:]
    app = _SERVERS[what](key, store)
    config = uvicorn.Config(app, **{"port": 0, "log_level": "error", "access_log": False, **json.loads(settings)})
    listener = config.bind_socket()
    listener.listen(2_048)  # so that whoever reads the port can connect
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
