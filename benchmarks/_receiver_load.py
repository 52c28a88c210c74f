"""Signed events for requests that wait, and a client that costs little beside the server it measures."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime, timezone

import psycopg

from benchmarks.receiver_servers import PATH, URL
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, Secret, encode_event, event_id, sign
from ringback_receiver._ids import new_request_id

__all__ = ["make_posts", "post_all", "register"]

_INSERT = (
    "INSERT INTO requests (request_id, dag_id, run_id, callback_url, created_at, metadata, state, triggers, "
    "checks, confirmed) VALUES ({0}, 'sales_report', {0}, {0}, {0}, 'null', 'pending', 1, 0, false)"
)


def register(store: str, count: int) -> list[str]:
    """Put pending requests into a store, past any receiver; return their ids."""
    ids = [new_request_id(time.time()) for _ in range(count)]
    rows = [(name, f"ringback__{name}", URL, time.time()) for name in ids]
    if store.startswith("postgresql"):
        with psycopg.connect(store) as connection, connection.cursor() as cursor:
            cursor.executemany(_INSERT.format("%s").replace("INTO ", "INTO ringback.").encode(), rows)
    elif store:
        with sqlite3.connect(store.removeprefix("sqlite:///"), timeout=30) as file:
            file.executemany(_INSERT.format("?"), rows)
        file.close()
    return ids


def make_posts(ids: Sequence[str], key: PrivateKey | Secret) -> list[bytes]:
    """Return whole HTTP requests, signed just now, that each resolve one request."""
    now = datetime.now(timezone.utc)
    posts = []
    for name in ids:
        run_id = f"ringback__{name}"
        data = CompletionData(
            dag_id="sales_report",
            run_id=run_id,
            state="success",
            reported_by="task",
            start_date=now,
            end_date=now,
            duration=12.4,
            result={"rows": 4213, "path": "s3://reports/" + "x" * 200},
            run_url=f"https://airflow.example/dags/sales_report/runs/{run_id}",
        )
        made = event_id(
            source="https://airflow.example",
            dag_id=data.dag_id,
            run_id=run_id,
            start_date=now,
            state="success",
            callback_url=URL,
        )
        event = CompletionEvent.of(
            data, id=made, source="https://airflow.example", audience=URL, correlationid=name, time=now
        )
        body = encode_event(event)
        headers = {
            "host": "portal.example",
            "user-agent": "ringback/0.1.0",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **sign(made, body, keys=[key], timestamp=int(time.time())),
        }
        head = "".join(f"{field}: {value}\r\n" for field, value in headers.items())
        posts.append(f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return posts


class _Sender(asyncio.Protocol):
    """One connection: sends the next request as soon as the one before is answered."""

    def __init__(self, posts: list[bytes], answers: list[bytes], done: asyncio.Future[None]) -> None:
        self._posts = posts
        self._answers = answers
        self._done = done
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        # An answer this short comes in one piece.
        self._answers.append(data[9:12])
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server hung up"))

    def _next(self) -> None:
        assert self._transport is not None
        if self._posts:
            self._transport.write(self._posts.pop())
        elif not self._done.done():
            self._done.set_result(None)
            self._transport.close()


async def post_all(port: int, posts: Sequence[bytes], connections: int) -> float:
    """Send everything over so many kept connections; return requests a second."""
    loop = asyncio.get_running_loop()
    left, answers = list(posts), list[bytes]()
    dones = [loop.create_future() for _ in range(connections)]
    began = time.perf_counter()
    for done in dones:
        await loop.create_connection(lambda done=done: _Sender(left, answers, done), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*dones)
    taken = time.perf_counter() - began
    if len(answers) != len(posts) or set(answers) != {b"204"}:
        raise RuntimeError(f"{len(answers)} of {len(posts)} answered: {set(answers)}")
    return len(posts) / taken
