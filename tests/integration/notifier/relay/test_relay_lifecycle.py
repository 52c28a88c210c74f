"""Starting, stopping, being killed, and sharing an outbox."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from relay_servers import HANG, Response
from relay_world import World, drain_until, until

from ringback_notifier.errors import OutboxError, OutboxUnavailable
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._relay import DrainReport, Relay

pytestmark = pytest.mark.anyio


async def slowly(request: Any) -> Response:
    await asyncio.sleep(0.4)
    return Response()


async def test_it_drains_for_as_long_as_it_is_told(world: World) -> None:
    """Without anything to do a drain lasts its time and reports nothing."""
    started = time.monotonic()
    assert await world.relay().drain(0.3) == DrainReport()
    assert 0.3 <= time.monotonic() - started < 3


async def test_a_stop_ends_it_early(world: World) -> None:
    """A drain that was told to last for ever ends when it is stopped."""
    stop = asyncio.Event()
    draining = asyncio.create_task(world.relay().drain(None, stop=stop))
    await asyncio.sleep(0.1)
    stop.set()
    await asyncio.wait_for(draining, 5)


async def test_a_stop_does_not_wait_for_other_peoples_threads(world: World) -> None:
    """The event loop's own threads may all be taken, by look-ups that hang or, in the triggerer, by other triggers."""
    over, started = threading.Event(), time.monotonic()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    hanging = loop.run_in_executor(None, over.wait, 20)
    try:
        await world.relay().drain(0.2)
        assert time.monotonic() - started < 10
    finally:
        over.set()
        await hanging


async def test_attempts_in_flight_may_end_when_it_stops(world: World) -> None:
    """A graceful stop lets them end, writes them down, and gives the rest back for the next relay."""
    receiver = world.receiver(slowly)
    world.enqueue(*(world.event(receiver.url, number) for number in range(10)))
    relay = world.relay(host_concurrency=2)
    report = await drain_until(relay, lambda: len(receiver.requests) == 2)
    assert report.delivered == 2
    counts = world.outbox.counts()
    assert (counts["delivered"], counts["due"], counts["leased"]) == (2, 8, 0)


async def test_attempts_that_do_not_end_are_given_back(world: World) -> None:
    """After the farewell an attempt is broken off; its event is due at once, and no attempt is counted."""
    receiver = world.receiver(lambda request: HANG)
    world.enqueue(*(world.event(receiver.url, number) for number in range(3)))
    started = time.monotonic()
    await drain_until(world.relay(farewell=0.2), lambda: len(receiver.requests) == 3)
    assert time.monotonic() - started < 4
    rows = world.rows()
    assert {(row.status, row.attempts, row.leased_by) for row in rows} == {("due", 0, None)}
    assert all(row.due_at <= time.time() for row in rows)


async def test_a_cancelled_drain_leaves_in_order(world: World) -> None:
    """A cancellation is a stop: what is in flight ends, the rest is given back, and the caller sees it."""
    receiver = world.receiver(slowly)
    world.enqueue(*(world.event(receiver.url, number) for number in range(10)))
    draining = asyncio.create_task(world.relay(host_concurrency=2).drain(60))
    await until(lambda: len(receiver.requests) == 2)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    counts = world.outbox.counts()
    assert (counts["delivered"], counts["due"], counts["leased"]) == (2, 8, 0)


async def test_a_cancelled_scope_leaves_in_order_too(world: World) -> None:
    """anyio cancels again and again; that does not hurry the end."""
    receiver = world.receiver(slowly)
    world.enqueue(*(world.event(receiver.url, number) for number in range(4)))
    with anyio.move_on_after(10) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(world.relay(host_concurrency=2).drain, 60)
            await until(lambda: len(receiver.requests) == 2)
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught
    counts = world.outbox.counts()
    assert (counts["delivered"], counts["due"], counts["leased"]) == (2, 2, 0)


async def test_the_same_relay_can_drain_again(world: World) -> None:
    """A task that is retried, or the next minute's, finds nothing in its way."""
    receiver, airflow = world.receiver(), world.airflow()
    relay = world.relay(airflow)
    for number in range(2):
        world.enqueue(world.event(receiver.url, number))
        await drain_until(relay, lambda: world.status(number) == "delivered")  # noqa: B023


def test_each_drain_may_have_its_own_event_loop(world: World) -> None:
    """asyncio.run twice in a row works, as in two tasks of one worker."""
    receiver, airflow = world.receiver(), world.airflow()
    relay = world.relay(airflow)
    for number in range(2):
        world.enqueue(world.event(receiver.url, number))
        asyncio.run(_until_delivered(world, relay, number))


async def _until_delivered(world: World, relay: Relay, number: int) -> None:
    await drain_until(relay, lambda: world.status(number) == "delivered")


async def test_a_relay_that_is_killed_is_taken_over(world: World) -> None:
    """After kill -9 its leases end, and another relay sends what it held."""
    hang = True
    receiver = world.receiver(lambda request: HANG if hang else Response())
    world.enqueue(*(world.event(receiver.url, number) for number in range(5)))
    program = Path(__file__).with_name("relay_program.py")
    process = subprocess.Popen([sys.executable, str(program), world.url, "3"], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        await until(lambda: len(receiver.requests) >= 5, seconds=30)
        assert world.outbox.counts()["leased"] == 5
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    hang = False
    assert {row.leased_by for row in world.rows()} == {"killed"}
    await drain_until(world.relay(), lambda: world.outbox.counts()["delivered"] == 5)
    assert all(len(world.attempts(number)) == 1 for number in range(5))


async def test_it_outlives_an_outage_of_the_outbox(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the outbox is locked nothing is lost and nothing is sent twice; then it goes on."""
    receiver = world.receiver()
    world.enqueue(*(world.event(receiver.url, number) for number in range(5)))
    broken = {"settle": 3, "lease": 2}
    for name in broken:
        monkeypatch.setattr(Outbox, name, failing(getattr(Outbox, name), name, broken))
    report = await drain_until(world.relay(), lambda: world.outbox.counts()["delivered"] == 5, seconds=20)
    assert report.outbox_errors >= 4
    assert len(receiver.requests) == 5
    assert report.delivered == 5
    assert sum("writing down" in line and "trying on" in line for line in caplog.messages) == 1


def failing(method: Any, name: str, left: dict[str, int]) -> Any:
    def call(self: Outbox, *arguments: Any, **options: Any) -> Any:
        if left[name]:
            left[name] -= 1
            raise OutboxUnavailable("the outbox is locked")
        return method(self, *arguments, **options)

    return call


async def test_one_settlement_that_cannot_be_written_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that the database refuses is left to its lease; the others are settled."""
    receiver = world.receiver()
    world.enqueue(*(world.event(receiver.url, number) for number in range(5)))
    settle = Outbox.settle

    def choosy(self: Outbox, owner: str, settlements: Any, *, now: float) -> None:
        if any(settlement.event_id == "msg_000002" for settlement in settlements):
            raise OutboxError("that row is damaged")
        settle(self, owner, settlements, now=now)

    monkeypatch.setattr(Outbox, "settle", choosy)
    await drain_until(world.relay(), lambda: world.outbox.counts()["delivered"] == 4)


async def test_a_defect_in_a_loop_is_logged_and_survived(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw costs one step, not the relay."""
    receiver = world.receiver()
    lease, calls = Outbox.lease, 0

    def odd(self: Outbox, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("odd")
        return lease(self, **options)

    monkeypatch.setattr(Outbox, "lease", odd)
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: world.status(0) == "delivered")
    assert any(record.exc_info and "odd" in record.getMessage() for record in caplog.records)


async def test_it_tells_that_it_is_alive(world: World) -> None:
    """The outbox shows who relays, where and what it has done; at the end the duty is left."""
    receiver = world.receiver()
    world.enqueue(world.event(receiver.url))
    stop = asyncio.Event()
    draining = asyncio.create_task(world.relay(owner="me", heartbeat=0.1).drain(60, stop=stop))
    await until(lambda: any('"delivered": 1' in (duty.value or "") for duty in world.outbox.duties("relay/")))
    (duty,) = world.outbox.duties("relay/")
    assert (duty.name, duty.holder) == ("relay/me", "me")
    assert duty.until > time.time()
    value = json.loads(duty.value or "")
    assert value["kind"] == "process"
    assert value["pid"] > 0
    stop.set()
    await draining
    (duty,) = world.outbox.duties("relay/")
    assert duty.until <= time.time()


async def test_old_rows_are_purged_once_an_hour(world: World) -> None:
    """What was settled before the retention goes, what is younger stays, and the next drain leaves it be."""
    old, young = world.event("https://portal.example/", 1), world.event("https://portal.example/", 2)
    world.outbox.record(old, [], status="delivered", due_at=0.0, now=time.time() - 100)
    world.outbox.record(young, [], status="delivered", due_at=0.0, now=time.time())
    await drain_until(world.relay(retention=50.0), lambda: world.status(1) is None)
    assert world.status(2) == "delivered"
    world.outbox.record(old, [], status="delivered", due_at=0.0, now=time.time() - 100)
    await world.relay(retention=50.0).drain(0.5)
    assert world.status(1) == "delivered"


async def test_it_does_not_block_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the triggerer the loop is shared: others keep their pace while the outbox takes its time."""
    receiver = world.receiver()
    lease = Outbox.lease

    def slow(self: Outbox, **options: Any) -> Any:
        time.sleep(1.0)
        return lease(self, **options)

    monkeypatch.setattr(Outbox, "lease", slow)
    world.enqueue(world.event(receiver.url))
    draining = asyncio.create_task(world.relay().drain(1.0))
    ticks = 0
    while not draining.done():
        await asyncio.sleep(0.005)
        ticks += 1
    await draining
    assert ticks >= 20
