"""Handlers' leases: the dead are replaced, the living are left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ringing import URL, make_event

from ringback_protocol import encode_event
from ringback_receiver import Completion
from ringback_receiver._dispatcher import Dispatcher
from ringback_receiver._handlers import Handlers
from ringback_receiver._matching import PendingRequest
from ringback_receiver._sqlite import SqliteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A store with one turn, of the handler ``h``."""
    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    request = PendingRequest(
        request_id="req_1", dag_id="sales", run_id="run_1", callback_url=URL, created_at=time.time()
    )
    await store.register(request, handlers=[])
    event = make_event("req_1", "run_1")
    await store.record(event, encode_event(event), received_at=time.time(), handlers=["h"])
    yield store
    await store.close()


def dispatcher(store: SqliteStore, handlers: Handlers, **options: float) -> Dispatcher:
    return Dispatcher(store, handlers, clock=time.time, chance=lambda: 0.0, poll_interval=0.05, **options)


async def test_turn_of_the_dead_is_taken_over(store: SqliteStore) -> None:
    """Whoever claimed it and vanished is replaced when his lease ends."""
    now = time.time()
    (dead,) = await store.claim_calls(["h"], now=now, lease_until=now + 0.3, limit=1)
    handled: asyncio.Queue[float] = asyncio.Queue()

    async def handler(completion: Completion) -> None:
        assert completion == dead.completion
        handled.put_nowait(time.time())

    handlers = Handlers()
    handlers.add(handler, dag_id=None, name="h")
    living = dispatcher(store, handlers)
    assert await asyncio.wait_for(handled.get(), 5) >= now + 0.3
    await living.close(1.0)


async def test_long_handler_keeps_its_turn(store: SqliteStore) -> None:
    """A handler that takes longer than a lease runs once, though others look for work meanwhile."""
    begun = 0

    async def handler(completion: Completion) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(1.0)

    handlers = Handlers()
    handlers.add(handler, dag_id=None, name="h")
    both = [dispatcher(store, handlers, lease=0.4) for _ in range(2)]
    await asyncio.sleep(1.3)
    for each in both:
        await each.close(1.0)
    assert begun == 1
    assert await store.claim_calls(["h"], now=1e12, lease_until=1e12, limit=1) == []


async def test_trouble_with_the_store_is_survived(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A look that fails is logged, and the next one finds the turn."""
    claim, handled, failures = SqliteStore.claim_calls, asyncio.Event(), iter([RuntimeError("disk away")])

    async def flaky(self: SqliteStore, *arguments: object, **named: object) -> object:
        for failure in failures:
            raise failure
        return await claim(self, *arguments, **named)  # type: ignore[arg-type]

    async def handler(completion: Completion) -> None:
        handled.set()

    monkeypatch.setattr(SqliteStore, "claim_calls", flaky)
    handlers = Handlers()
    handlers.add(handler, dag_id=None, name="h")
    living = dispatcher(store, handlers)
    await asyncio.wait_for(handled.wait(), 5)
    await living.close(1.0)
    assert "RuntimeError: disk away" in caplog.text


async def test_handler_keeps_its_turn_while_its_receiver_closes(store: SqliteStore) -> None:
    """Whoever closes waits for it for longer than a lease, and nobody else runs it meanwhile."""
    started: asyncio.Queue[None] = asyncio.Queue()

    async def handler(completion: Completion) -> None:
        started.put_nowait(None)
        await asyncio.sleep(1.5)

    handlers = Handlers()
    handlers.add(handler, dag_id=None, name="h")
    closing = dispatcher(store, handlers, lease=0.4)
    await asyncio.wait_for(started.get(), 5)
    other = dispatcher(store, handlers, lease=0.4)
    await closing.close(5.0)
    await asyncio.sleep(0.5)
    await other.close(5.0)
    assert started.empty()
