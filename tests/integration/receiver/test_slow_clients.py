"""Hundreds of clients that never finish a request, and one that does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from receiver_process import ReceiverProcess
from ringing import make_event, signed, until

from ringback_protocol import PrivateKey

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

SLOW = 250
UVICORN = {"http": "h11", "h11_max_incomplete_event_size": 16_384, "limit_concurrency": 2_000}
"""As docs/receiver-limits.md recommends."""

HEAD = b"POST /airflow/completions HTTP/1.1\r\nhost: portal.example\r\ncontent-type: application/json\r\n"


@contextmanager
def serving(path: Path, key: PrivateKey, **limits: Any) -> Iterator[str]:
    """Serve in a process of its own."""
    process = ReceiverProcess(
        f"sqlite:///{path}", str(key.public()), "serve", json.dumps({"receiver": limits, "uvicorn": UVICORN})
    )
    try:
        yield process.says()["url"]
    finally:
        process.kill()


class Dripper:
    """A client that sends the beginning of a request, and then a byte now and then."""

    answer = b""

    async def drip(self, url: str, beginning: bytes) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        loop = asyncio.get_running_loop()
        # A bare socket: asyncio's streams drop what was said before a reset.
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, (host, int(port)))
            listening = asyncio.create_task(self._listen(connection))
            try:
                await loop.sock_sendall(connection, beginning)
                while not listening.done():
                    await asyncio.wait([listening], timeout=0.2)
                    with contextlib.suppress(ConnectionError):
                        await loop.sock_sendall(connection, b"x")
            finally:
                listening.cancel()
                await asyncio.wait([listening])

    async def _listen(self, connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await asyncio.get_running_loop().sock_recv(connection, 4_096):
                self.answer += chunk


@asynccontextmanager
async def dripping(url: str, beginning: bytes) -> AsyncIterator[list[Dripper]]:
    """Have many of them at it."""
    drippers = [Dripper() for _ in range(SLOW)]
    tasks = [asyncio.create_task(dripper.drip(url, beginning)) for dripper in drippers]
    try:
        yield drippers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def served(url: str, key: PrivateKey) -> list[int]:
    """Deliver twenty events, each over a connection of its own."""
    statuses = []
    for number in range(20):
        headers, body = signed(make_event(f"req_{number}", f"run_{number}"), key)
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            statuses.append((await client.post("/airflow/completions", headers=headers, content=body)).status_code)
    return statuses


async def test_dripping_heads_and_bodies_keep_nobody_out(tmp_path: Path, key: PrivateKey) -> None:
    """The honest client is served meanwhile, and bodies that drip are cut off when their time is over."""
    body = HEAD + b"content-length: 1000\r\n\r\n{"
    with serving(tmp_path / "ringback.db", key, body_timeout=2.0) as url:
        async with dripping(url, HEAD + b"x-drip: "), dripping(url, body) as bodies:
            await asyncio.sleep(0.5)
            assert await served(url, key) == [202] * 20
            await until(lambda: all(dripper.answer for dripper in bodies), seconds=30)
    assert {dripper.answer[:12] for dripper in bodies} == {b"HTTP/1.1 408"}


async def test_more_dripping_bodies_than_places_keep_nobody_out(tmp_path: Path, key: PrivateKey) -> None:
    """Those that are longest on their way give way; their time is far from over."""
    body = HEAD + b"content-length: 1000\r\n\r\n{"
    with serving(tmp_path / "ringback.db", key, body_timeout=300.0, max_waiting=50) as url:
        async with dripping(url, body) as bodies:
            await until(lambda: sum(bool(dripper.answer) for dripper in bodies) >= SLOW - 50, seconds=30)
            assert await served(url, key) == [202] * 20
            assert {dripper.answer[:12] for dripper in bodies} <= {b"HTTP/1.1 503", b""}


async def test_endless_head_is_cut_off(tmp_path: Path, key: PrivateKey) -> None:
    """The server hangs up before all of it is sent, and serves the next."""
    with serving(tmp_path / "ringback.db", key) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        sent = 0
        with (
            socket.create_connection((host, int(port)), timeout=10) as connection,
            contextlib.suppress(ConnectionError),
        ):
            connection.sendall(HEAD + b"x: ")
            for _ in range(50):
                connection.sendall(b"y" * 1_000_000)
                sent += 1
        assert sent < 50
        assert await served(url, key) == [202] * 20
