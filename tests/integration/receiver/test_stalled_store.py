"""Thousands of events while another process holds the store's file."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil
import pytest
from receiver_process import ReceiverProcess
from ringing import make_event, signed

from ringback_protocol import PrivateKey

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

POSTS = 5_000
PLACES = 100
RETRIES = 500
MOST_MEGABYTES = 200
"""By which the server may grow.  It grows by some 110, most of which uvicorn holds for so many connections at
once; with a place for each of the events, by some 310."""
RESULT = "x" * 18_500


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Allow both processes their sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


@dataclass
class Crowd:
    """Senders, each with a connection of its own."""

    host: str
    port: int
    key: PrivateKey
    answered: dict[int, int] = field(default_factory=dict)

    async def post(self, number: int) -> None:
        """Send one event of almost 20 kB, and note the answer."""
        event = make_event(f"req_{number}", f"run_{number}", result=RESULT)
        headers, body = signed(event, self.key)
        lines = [f"{name}: {value}" for name, value in {**headers, "content-length": str(len(body))}.items()]
        head = "\r\n".join(["POST /airflow/completions HTTP/1.1", "host: portal.example", *lines, "", ""])
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(head.encode() + body)
            status = int((await reader.readline()).split()[1])
            told = (await reader.readuntil(b"\r\n\r\n")).lower()
        finally:
            writer.close()
        assert (status == 503) == (b"retry-after: 5\r\n" in told)
        self.answered[number] = status

    def told(self, *statuses: int) -> list[int]:
        """Return who was answered so."""
        return [number for number, status in self.answered.items() if status in statuses]


@pytest.fixture
async def process(tmp_path: Path, key: PrivateKey) -> AsyncIterator[ReceiverProcess]:
    limits = json.dumps({"receiver": {"max_waiting": PLACES}, "uvicorn": {}})
    process = ReceiverProcess(f"sqlite:///{tmp_path}/ringback.db", str(key.public()), "serve", limits)
    yield process
    process.kill()


async def test_flood_during_a_stall_is_put_off_and_nothing_acknowledged_is_lost(
    process: ReceiverProcess, tmp_path: Path, key: PrivateKey
) -> None:
    """Memory stays within its bounds, the store comes back, and so does service."""
    path = tmp_path / "ringback.db"
    host, _, port = process.says()["url"].removeprefix("http://").partition(":")
    crowd = Crowd(host=host, port=int(port), key=key)
    await asyncio.gather(*(crowd.post(number) for number in range(POSTS, POSTS + 50)))
    memory = psutil.Process(process.pid)
    before = most = memory.memory_info().rss
    with locked(path):
        posts = [asyncio.create_task(crowd.post(number)) for number in range(POSTS)]
        # Until all are answered but those that wait; whoever has waited for five seconds is answered, too.
        with anyio.fail_after(120):
            while len(crowd.told(503)) < POSTS - PLACES:
                assert not any(post.done() and post.exception() for post in posts)
                await asyncio.sleep(0.05)
                most = max(most, memory.memory_info().rss)
    await asyncio.gather(*posts)
    most = max(most, memory.memory_info().rss)
    assert (most - before) / 1e6 < MOST_MEGABYTES
    assert len(crowd.told(202, 503)) == POSTS + 50
    put_off = crowd.told(503)[:RETRIES]
    for first in range(0, RETRIES, PLACES):
        await asyncio.gather(*(crowd.post(number) for number in put_off[first : first + PLACES]))
    assert [crowd.answered[number] for number in put_off] == [202] * RETRIES
    with closing(sqlite3.connect(path)) as connection:
        recorded = {run_id for (run_id,) in connection.execute("SELECT run_id FROM events")}
    assert recorded == {f"run_{number}" for number in crowd.told(202)}
