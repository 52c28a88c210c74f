"""Keys are changed while events are on their way: a real relay, a real receiver under uvicorn, every order."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from fastapi import FastAPI
from relay_world import World, destination, until
from starlette.applications import Starlette
from starlette.routing import Mount

from ringback_notifier import _key_cache, _key_endpoint
from ringback_notifier._key_endpoint import KeyEndpoint
from ringback_notifier.outbox import OutboxEvent
from ringback_notifier.relay import _destinations, _schedule
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id
from ringback_receiver import DagRun, Discover, Receiver

pytestmark = pytest.mark.anyio

Side = Literal["sender", "receiver"]
Step = tuple[Side, frozenset[str]]

KEYS = {"new": PrivateKey.generate(), "old": PrivateKey.generate()}
OLD, BOTH, NEW = frozenset({"old"}), frozenset({"old", "new"}), frozenset({"new"})
STARTED = datetime(2026, 7, 2, 12, tzinfo=timezone.utc)
BATCH, PAUSE = 4, 0.01
"""The load: so many events, and seconds until the next so many."""
ENOUGH = 30
"""Events that must arrive after a step before the next is made."""


def held(names: frozenset[str]) -> tuple[PrivateKey, ...]:
    """Return keys, newest first."""
    return tuple(key for name, key in KEYS.items() if name in names)


def orders() -> list[tuple[Step, ...]]:
    """Return every order in which two sides can get from the old key to the new, each with an overlap or without."""
    found = []
    for sender, receiver in itertools.product(((BOTH, NEW), (NEW,)), repeat=2):
        for places in itertools.combinations(range(len(sender) + len(receiver)), len(sender)):
            senders, receivers = iter(sender), iter(receiver)
            found.append(
                tuple(
                    ("sender", next(senders)) if place in places else ("receiver", next(receivers))
                    for place in range(len(sender) + len(receiver))
                )
            )
    return found


def is_safe(order: Sequence[Step]) -> bool:
    """Tell whether, after every step, the receiver trusts one of the keys that sign: then nothing may be refused."""
    state = {"sender": OLD, "receiver": OLD}
    for side, keys in order:
        state[side] = keys
        if not state["sender"] & state["receiver"]:
            return False
    return True


def named(order: Sequence[Step]) -> str:
    return " ".join(f"{side}={'+'.join(sorted(keys, reverse=True))}" for side, keys in order)


class SilentAirflow:
    """Takes every trigger."""

    async def trigger(self, dag_id: str, *, run_id: str | None = None, **_: Any) -> DagRun:
        return DagRun(dag_id=dag_id, run_id=run_id or "", state="queued")


@dataclass
class Line:
    """A relay that sends all the time, and a receiver that can be deployed anew; connections wait meanwhile."""

    world: World
    folder: Path
    listener: socket.socket
    statuses: Counter[int] = field(default_factory=Counter)
    sent: list[str] = field(default_factory=list)
    _server: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/airflow/completions"

    @property
    def taken(self) -> int:
        return self.statuses[202] + self.statuses[204]

    def receiver(self, keys: Any) -> Receiver:
        return Receiver(self.url, keys, SilentAirflow(), f"sqlite:///{self.folder}/ringback.db")

    @asynccontextmanager
    async def serving(self, keys: Any) -> AsyncIterator[None]:
        """Serve a receiver on the listening socket, which stays open afterwards."""
        receiver = self.receiver(keys)
        app = FastAPI(lifespan=receiver.lifespan)
        app.include_router(receiver.router)

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            async def count(message: Any) -> None:
                if message["type"] == "http.response.start":
                    self.statuses[message["status"]] += 1
                await send(message)

            await app(scope, receive, count if scope["type"] == "http" else send)

        server = uvicorn.Server(uvicorn.Config(counted, log_level="error"))
        task = asyncio.create_task(server.serve(sockets=[socket.socket(fileno=os.dup(self.listener.fileno()))]))
        await until(lambda: server.started)
        try:
            yield
        finally:
            server.should_exit = True
            await task

    async def deploy(self, keys: Any) -> None:
        """Stop the receiver that is there, and start one with other keys."""
        await self.stop()
        self._server = self.serving(keys)
        await self._server.__aenter__()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.__aexit__(None, None, None)

    def event(self) -> OutboxEvent:
        run_id = f"run_{len(self.sent)}"
        self.sent.append(run_id)
        names: dict[str, Any] = {"dag_id": "sales", "run_id": run_id, "state": "success"}
        id_ = event_id(source="s", start_date=STARTED, callback_url=self.url, **names)
        data = CompletionData(**names, start_date=STARTED, reported_by="relay")
        event = CompletionEvent.of(data, id=id_, source="s", audience=self.url, correlationid=None, time=STARTED)
        return self.world.event(self.url, event_id=id_, run_id=run_id, body=encode_event(event))

    async def load(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.world.enqueue(*(self.event() for _ in range(BATCH)))
            await asyncio.sleep(PAUSE)

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Send all the time; in the end, wait until everything is delivered."""
        stop = asyncio.Event()
        relay = asyncio.create_task(self.world.relay().drain(300, stop=stop))
        ended = asyncio.Event()
        load = asyncio.create_task(self.load(ended))
        try:
            yield
            ended.set()
            await load
            await until(lambda: self.world.outbox.counts().get("delivered", 0) == len(self.sent), 60)
        finally:
            ended.set()
            stop.set()
            await asyncio.gather(load, relay)

    async def all_are_there(self) -> bool:
        """Tell whether everybody who asked has been rung back."""
        async with self.receiver(KEYS["new"].public()) as receiver:
            for run_id in self.sent:
                handle = await receiver.trigger("sales", run_id=run_id)
                if not (await handle.completion(timeout=0)).succeeded:
                    return False
        return True


@pytest.fixture
async def line(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    """A line whose relay notices a changed connection soon, and tries again soon."""
    monkeypatch.setattr(_destinations, "KEPT", 0.02)
    monkeypatch.setattr(_schedule, "DELAYS", (0.0, *[0.3] * 40))
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        made = Line(world, tmp_path, listener)
        give(world, OLD)
        yield made
        await made.stop()


def give(world: World, names: frozenset[str]) -> None:
    """Change the connection in Airflow."""
    world.destinations["default"] = destination(keys=held(names))


async def after(line: Line, count: Callable[[], int], enough: int = ENOUGH) -> None:
    """Wait until the change is everywhere, and so much has happened since."""
    await asyncio.sleep(0.1)
    before = count()
    await until(lambda: count() >= before + enough, 60)


@pytest.mark.parametrize("order", [order for order in orders() if is_safe(order)], ids=named)
async def test_an_order_with_an_overlap_refuses_nothing(line: Line, order: tuple[Step, ...]) -> None:
    """Either side first, the old key dropped on either side first, an overlap on one side or on both."""
    await line.deploy([str(key.public()) for key in held(OLD)])
    async with line.under_load():
        await after(line, lambda: line.taken)
        for side, keys in order:
            if side == "sender":
                give(line.world, keys)
            else:
                await line.deploy([str(key.public()) for key in held(keys)])
            await after(line, lambda: line.taken)
    await line.stop()
    assert line.statuses[401] == 0
    assert set(line.statuses) <= {202, 204}
    assert line.taken >= len(line.sent) > ENOUGH * (len(order) + 1)
    assert await line.all_are_there()


@pytest.mark.parametrize("first", ["sender", "receiver"])
async def test_without_an_overlap_events_come_late_and_none_is_lost(line: Line, first: Side) -> None:
    """One side swaps its key and the other follows: what was refused in between is sent again."""
    await line.deploy(str(KEYS["old"].public()))
    async with line.under_load():
        await after(line, lambda: line.taken)
        swaps = [("sender", lambda: line.statuses[401]), ("receiver", lambda: line.taken)]
        for side, count in swaps if first == "sender" else [("receiver", swaps[0][1]), ("sender", swaps[1][1])]:
            if side == "sender":
                give(line.world, NEW)
            else:
                await line.deploy(str(KEYS["new"].public()))
            await after(line, count, 20)
    await line.stop()
    assert line.statuses[401] >= 20
    assert line.taken >= len(line.sent)
    assert await line.all_are_there()


async def test_with_discovery_only_airflow_is_touched(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that discovers the keys follows a rotation without a restart, and refuses nothing meanwhile."""
    monkeypatch.setattr(_key_cache, "KEPT", 0.02)
    published: list[frozenset[str]] = [OLD]
    endpoint = KeyEndpoint(["default"], lambda name: tuple(str(key.public()) for key in held(published[-1])))
    app = Starlette(routes=[Mount(_key_endpoint.PREFIX, endpoint)])
    airflow = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        task = asyncio.create_task(airflow.serve(sockets=[listener]))
        await until(lambda: airflow.started)
        await line.deploy(Discover(f"http://127.0.0.1:{port}", interval=0.05))
        started = time.monotonic()
        async with line.under_load():
            for keys in (OLD, BOTH, NEW):
                published.append(keys)
                give(line.world, keys)
                await after(line, lambda: line.taken)
        assert time.monotonic() - started < 60
        await line.stop()
        airflow.should_exit = True
        await task
    assert set(line.statuses) <= {202, 204}
    assert line.taken >= len(line.sent)
    assert await line.all_are_there()


def test_the_orders_are_all_there() -> None:
    """As many as there are ways to shuffle the two sides' steps; those with an overlap are the safe ones."""
    names = [named(order) for order in orders()]
    assert len(names) == len(set(names)) == 6 + 3 + 3 + 2
    safe = [named(order) for order in orders() if is_safe(order)]
    assert "sender=old+new receiver=old+new sender=new receiver=new" in safe
    assert "sender=new receiver=new" not in safe
    assert len(safe) == 6
