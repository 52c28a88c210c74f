"""What the relay's shells do when something is missing, hangs, or wants them to stop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ringback_notifier import _config
from ringback_notifier.errors import NotifierError, OutboxError, OutboxUnavailable
from ringback_notifier.outbox._rows import Leased
from ringback_notifier.relay import _attempting, _lookups, _process, _trigger, _wiring
from ringback_notifier.relay._attempting import Attempting
from ringback_notifier.relay._loop import keep_doing
from ringback_notifier.relay._operator import RelayOperator
from ringback_notifier.relay._tally import DrainReport, Tally

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


API = SimpleNamespace(host="https://airflow.example", schema=None, port=None, login=None, password=None, extra=None)


class FakeRelay:
    """Drains as it is told to."""

    def __init__(self, report: DrainReport, *, until_stopped: bool = False) -> None:
        self.report = report
        self.until_stopped = until_stopped
        self.started = asyncio.Event()

    async def drain(self, for_seconds: float | None, *, stop: asyncio.Event | None = None) -> DrainReport:
        self.started.set()
        if self.until_stopped:
            assert stop is not None
            await asyncio.wait_for(stop.wait(), 10)
        return self.report


def opening(*outcomes: FakeRelay | Exception) -> Callable[..., Any]:
    """Stand in for ``opened_relay``: each time the next relay, or the next error."""
    left = list(outcomes)

    @contextlib.asynccontextmanager
    async def opened(kind: str, **how: Any) -> AsyncIterator[FakeRelay]:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        yield outcome

    return opened


def test_a_relay_task_that_never_got_on_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is alerted, and reads what was wrong."""
    report = DrainReport(stuck=("sweeping",), last_error="status 403", delivered=3)
    monkeypatch.setattr(_wiring, "opened_relay", opening(FakeRelay(report)))
    with pytest.raises(NotifierError, match="never got on with sweeping: status 403"):
        RelayOperator(task_id="drain").execute({})  # type: ignore[arg-type]


def test_a_relay_task_that_had_trouble_for_a_while_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was mended in time is no alert."""
    monkeypatch.setattr(_wiring, "opened_relay", opening(FakeRelay(DrainReport(last_error="timeout", api_errors=2))))
    assert RelayOperator(task_id="drain").execute({})["api_errors"] == 2  # type: ignore[arg-type]


async def test_a_relay_task_that_is_killed_ends_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """``on_kill`` comes in a signal handler; the relay gives back what it has leased, and reports."""
    relay = FakeRelay(DrainReport(delivered=7), until_stopped=True)
    monkeypatch.setattr(_wiring, "opened_relay", opening(relay))
    operator = RelayOperator(task_id="drain")
    operator.on_kill()  # before it runs there is nothing to end
    draining = asyncio.create_task(operator._drain())
    await relay.started.wait()
    operator.on_kill()
    assert (await asyncio.wait_for(draining, 5)).delivered == 7


async def test_work_that_went_well_counts_though_a_long_rest_follows() -> None:
    """A drain that ends amid the rest does not take the failure before for the last word."""
    tally = Tally()
    failures = [OutboxError("no answer")]
    rested = asyncio.Event()

    async def step() -> None:
        if failures:
            raise failures.pop()

    async def rest() -> None:
        rested.set()
        await asyncio.sleep(3_600)

    doing = asyncio.create_task(keep_doing(step, what="purging", tally=tally, rest=rest))
    await asyncio.wait_for(rested.wait(), 5)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    assert (tally.report().stuck, tally.outbox_errors) == ((), 1)


async def test_a_process_waits_for_a_database_that_is_not_up_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both start with the machine, in any order."""
    monkeypatch.setattr(_process, "_FIRST_PAUSE", 0.01)
    relay = FakeRelay(DrainReport(delivered=1))
    monkeypatch.setattr(
        _wiring, "opened_relay", opening(OutboxUnavailable("refused"), OutboxUnavailable("refused"), relay)
    )
    assert (await _process._drain(None)).delivered == 1


async def test_a_process_with_a_limit_does_not_wait_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ringback relay --for 60`` is somebody's job, and says that it could not be done."""
    monkeypatch.setattr(_wiring, "opened_relay", opening(OutboxUnavailable("refused")))
    with pytest.raises(OutboxUnavailable):
        await _process._drain(60)


@pytest.mark.parametrize("broken", [None, PermissionError("the secrets backend says no")])
async def test_a_process_waits_for_its_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path, broken: Exception | None
) -> None:
    """While Airflow's database is down Airflow finds no connection; the log says once what is waited for."""
    monkeypatch.setattr(_process, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(_config, "outbox_url", lambda: f"sqlite:///{tmp_path / 'outbox.db'}")
    monkeypatch.setattr(_wiring, "Relay", lambda **_: FakeRelay(DrainReport(delivered=1)))
    answers = [broken] * 3 + [API]

    def find(conn_id: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_lookups, "find_connection", find)
    assert (await _process._drain(None)).delivered == 1
    said = [line for line in caplog.messages if "ringback_airflow" in line]
    assert len(said) == 1
    assert ("airflow connections add" if broken is None else "PermissionError") in said[0]


async def test_a_process_with_a_limit_does_not_wait_for_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave the limit reads what is missing."""
    monkeypatch.setattr(_lookups, "find_connection", lambda conn_id: None)
    with pytest.raises(NotifierError, match="airflow connections add ringback_airflow"):
        await _process._drain(60)


async def test_a_process_does_not_wait_for_a_connection_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody wrote wrongly is not mended by waiting."""
    monkeypatch.setattr(_lookups, "find_connection", lambda conn_id: SimpleNamespace(host=""))
    with pytest.raises(NotifierError, match="host is empty"):
        await asyncio.wait_for(_process._drain(None), 5)


async def test_a_trigger_that_is_not_set_up_is_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The triggerer starts it again a second after it ends: it says what is missing, and ends later."""
    monkeypatch.setattr(_trigger, "_PATIENCE", 0.3)
    monkeypatch.setattr(_wiring, "opened_relay", opening(NotifierError("there is no Airflow connection")))
    started = time.monotonic()
    with pytest.raises(NotifierError):
        async for _ in _trigger.RelayTrigger().run():
            pass
    assert time.monotonic() - started >= 0.3


async def test_a_relay_is_closed_though_the_loops_threads_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the triggerer other triggers take them, and a stop does not wait for those."""
    monkeypatch.setattr(_config, "outbox_url", lambda: f"sqlite:///{tmp_path / 'outbox.db'}")

    async def connection(conn_id: str) -> Any:
        return API

    async def destination(name: str) -> Any:
        raise AssertionError

    over, loop = threading.Event(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    try:
        async with _wiring.opened_relay("trigger", connection=connection, destination=destination):
            hanging = loop.run_in_executor(None, over.wait, 10)
            closing = time.monotonic()
        assert time.monotonic() - closing < 5
    finally:
        over.set()
        await hanging


@pytest.mark.parametrize("executor", ["CeleryExecutor", "KubernetesExecutor", "LocalExecutor,CeleryExecutor"])
def test_a_relay_task_on_any_machine_needs_a_shared_outbox(monkeypatch: pytest.MonkeyPatch, executor: str) -> None:
    """A file of its own on each worker would be an outbox, and a watermark, for each."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    monkeypatch.setattr(_config, "outbox_url", lambda: "sqlite:////nowhere/outbox.db")
    with pytest.raises(OutboxError, match=r"must be a\s+PostgreSQL database: set \[ringback\] outbox_url"):
        _wiring._open_outbox("dag")


async def test_a_destination_that_cannot_be_looked_up_in_time_costs_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secrets backend that hangs holds no event beyond its lease."""
    monkeypatch.setattr(_attempting, "_LOOK_UP_SECONDS", 0.1)

    class Hanging:
        async def get(self, name: str) -> Any:
            await asyncio.sleep(3_600)

    row = Leased(
        event_id="msg_1",
        dag_id="sales",
        run_id="ext__1",
        destination="default",
        url="https://portal.example/",
        host="portal.example:443",
        body=b"{}",
        attempts=0,
        created_at=0.0,
    )
    attempting = Attempting(destinations=Hanging(), sender=None)  # type: ignore[arg-type]
    landing = await asyncio.wait_for(attempting.attempt(row), 5)
    assert landing.settlement is None
    assert landing.again_at > time.time()
