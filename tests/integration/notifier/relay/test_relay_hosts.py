"""One host's trouble is not another's."""

from __future__ import annotations

import asyncio
import time

import pytest
from relay_servers import HANG, Response
from relay_world import World, drain_until, until
from test_relay_deliver import dead_port

from ringback_notifier.relay import _breaker, _deliver, _relay, _schedule
from ringback_notifier.relay._breaker import Breaker

pytestmark = pytest.mark.anyio


async def test_a_host_that_hangs_does_not_delay_another(world: World) -> None:
    """Hundreds of older events for a host that hangs do not keep a good host's events waiting."""
    hanging, good = world.receiver(lambda request: HANG), world.receiver()
    world.enqueue(*(world.event(hanging.url, number) for number in range(300)), now=time.time() - 60)
    world.enqueue(*(world.event(good.url, 1_000 + number) for number in range(50)))
    started = time.monotonic()
    relay = world.relay(concurrency=20, host_concurrency=5, attempt_timeout=2.4, farewell=0.0)
    await drain_until(relay, lambda: len(good.requests) == 50)
    assert time.monotonic() - started < 5
    assert len(hanging.requests) <= 10
    assert world.outbox.counts().get("leased", 0) == 0


async def test_never_more_than_its_share_is_in_flight_to_a_host(world: World) -> None:
    """The limit per host holds at every moment, and so does the overall one."""
    flying = {"a": 0, "b": 0}
    most = {"a": 0, "b": 0, "both": 0}

    def slow(name: str):  # type: ignore[no-untyped-def]
        async def script(request: object) -> Response:
            flying[name] += 1
            most[name] = max(most[name], flying[name])
            most["both"] = max(most["both"], flying["a"] + flying["b"])
            await asyncio.sleep(0.02)
            flying[name] -= 1
            return Response()

        return script

    a, b = world.receiver(slow("a")), world.receiver(slow("b"))
    world.enqueue(*(world.event((a, b)[number % 2].url, number) for number in range(80)))
    relay = world.relay(concurrency=6, host_concurrency=4)
    await drain_until(relay, lambda: world.outbox.counts().get("delivered") == 80)
    assert most["a"] <= 4
    assert most["b"] <= 4
    assert most["both"] <= 6


async def test_a_dead_host_is_left_alone_after_five_failures(world: World) -> None:
    """The circuit opens: what is left for that host is given back without an attempt."""
    world.enqueue(*(world.event(dead_port_once(), number) for number in range(40)))
    await drain_until(
        world.relay(host_concurrency=1), lambda: sum(len(world.attempts(number)) for number in range(40)) >= 5
    )
    attempts = [len(world.attempts(number)) for number in range(40)]
    assert sum(attempts) == 5
    assert world.outbox.counts()["due"] == 40


_PORTS: list[str] = []


def dead_port_once() -> str:
    if not _PORTS:
        _PORTS.append(dead_port())
    return _PORTS[0]


async def test_a_host_that_comes_back_gets_a_probe_and_then_everything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the cool-down one event goes out alone; when it is taken, the others follow."""
    monkeypatch.setattr(_relay, "Breaker", lambda: _breaker.Breaker(cool_down=0.5))
    up = False
    receiver = world.receiver(lambda request: Response(status=204 if up else 503))
    world.enqueue(*(world.event(receiver.url, number) for number in range(20)))
    relay = world.relay(host_concurrency=1)
    stop = asyncio.Event()
    draining = asyncio.create_task(relay.drain(30, stop=stop))
    await until(lambda: len(receiver.requests) >= 6)  # five to open the circuit, and a probe
    assert receiver.requests[5].at - receiver.requests[4].at > 0.4
    up = True
    await until(lambda: world.outbox.counts()["delivered"] >= 14)  # those that did not fail yet
    stop.set()
    report = await draining
    assert report.failed <= 7


async def test_events_for_a_host_that_is_down_for_days_are_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has failed for the whole schedule, what is older than that is dead, each after an attempt of its own."""
    monkeypatch.setattr(_relay, "Breaker", lambda: Breaker(cool_down=0.2, longest=0.4))
    monkeypatch.setattr(_deliver, "WHOLE_SCHEDULE", 3.0)
    url = dead_port()
    world.enqueue(*(world.event(url, number) for number in range(30)), now=time.time() - 5 * 86_400)
    stop, started = asyncio.Event(), time.monotonic()
    draining = asyncio.create_task(world.relay(host_concurrency=5).drain(60, stop=stop))
    await until(lambda: world.outbox.counts()["dead"], seconds=20)
    assert time.monotonic() - started >= 3
    await until(lambda: world.outbox.counts()["dead"] == 30, seconds=20)
    world.enqueue(world.event(url, 99))
    await until(lambda: world.attempts(99))
    assert world.status(99) == "due"
    stop.set()
    report = await draining
    assert report.dead == 30
    assert all(row.attempts >= 1 for row in world.rows("dead"))


async def test_old_events_are_not_given_up_because_of_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that was away for days meets a host that is down just now: its events wait for the circuit to close."""
    monkeypatch.setattr(_relay, "Breaker", lambda: Breaker(cool_down=0.1, longest=0.2))
    url = dead_port()
    old = time.time() - 5 * 86_400
    world.enqueue(*(world.event(url, number) for number in range(10)), now=old)
    report = await world.relay(host_concurrency=1).drain(3)
    assert report.failed >= 10
    assert report.dead == 0
    assert world.outbox.counts()["due"] == 10


async def test_every_event_of_a_host_that_stays_down_gets_its_own_attempts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its circuit is open most of the time, and yet the backlog comes to an end."""
    monkeypatch.setattr(_relay, "Breaker", lambda: Breaker(cool_down=0.2, longest=0.2))
    monkeypatch.setattr(_schedule, "DELAYS", (0.0,) * 4)
    url = dead_port()
    world.enqueue(*(world.event(url, number) for number in range(40)))
    await drain_until(world.relay(host_concurrency=10), lambda: world.outbox.counts()["dead"] == 40)
    assert {row.attempts for row in world.rows("dead")} == {4}


async def test_events_of_a_host_that_stays_down_end_though_no_relay_lives_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that is a task forgets which hosts are down; what counts is in the outbox."""
    monkeypatch.setattr(_relay, "Breaker", lambda: Breaker(cool_down=0.3))  # over when the next relay starts
    monkeypatch.setattr(_schedule, "DELAYS", (0.0,) * 3)
    url = dead_port()
    world.enqueue(*(world.event(url, number) for number in range(12)), now=time.time() - 5 * 86_400)
    for _ in range(15):
        await world.relay(host_concurrency=4).drain(0.3)
        if world.outbox.counts()["dead"] == 12:
            break
    assert {row.attempts for row in world.rows("dead")} == {3}
    assert world.outbox.counts()["dead"] == 12
