"""Several relays over one outbox, in both databases."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from relay_world import World, until

from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_notifier.outbox import Outbox, migrate

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
def shared(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "sqlite":
        yield request.getfixturevalue("world")
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-", ignore_cleanup_errors=True))
        url = stack.enter_context(LocalPostgres(Path(folder) / "postgres", free_port())).create("relay")
        migrate(url)
        outbox = Outbox.open(url, wait=5.0)
        stack.callback(outbox.close)
        yield World(url=url, outbox=outbox, stack=stack)


async def test_two_relays_deliver_each_event_once(shared: World) -> None:
    """Sharing an outbox, they share the work; nothing is sent twice, and what comes meanwhile wakes them."""
    receiver = shared.receiver()
    second = Outbox.open(shared.url, wait=5.0)
    shared.stack.callback(second.close)
    shared.enqueue(*(shared.event(receiver.url, number) for number in range(300)))
    stop = asyncio.Event()
    relays = [shared.relay(owner="one", poll=20.0), shared.relay(outbox=second, owner="two", poll=20.0)]
    drains = [asyncio.create_task(relay.drain(60, stop=stop)) for relay in relays]
    await until(lambda: shared.outbox.counts()["delivered"] == 300, seconds=30)
    await asyncio.sleep(0.3)
    started = time.monotonic()
    shared.enqueue(shared.event(receiver.url, 300))
    await until(lambda: len(receiver.requests) == 301)
    assert time.monotonic() - started < 5
    stop.set()
    reports = await asyncio.gather(*drains)
    assert Counter(receiver.ids).most_common(1)[0][1] == 1
    assert sum(report.delivered for report in reports) == 301
