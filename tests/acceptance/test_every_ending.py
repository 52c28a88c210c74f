"""Every way in which a run can end, and who reports it without any further part: the final task, the callback.

``RINGBACK_WRITE_COVERAGE=1`` writes what was seen, with delays, into ``docs/coverage.md`` (``make coverage``).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import psutil
import pytest
from conftest import LONG, ROOT, Line, eventually

from demo.local_airflow import LocalAirflow
from ringback_receiver import CompletionTimeout, RunHandle

pytestmark = pytest.mark.anyio

SILENCE = 6.0
"""Seconds after which nobody reports any more: the slowest callback seen took four."""


@dataclass
class Scene:
    """A case in progress."""

    line: Line
    airflow: LocalAirflow
    api: httpx.Client
    dag_id: str = ""
    run_id: str = ""
    handle: RunHandle | None = None
    seen_before: int = 0

    async def trigger(self, dag_id: str, *, logical_date: datetime | None = None, **conf: Any) -> None:
        self.handle = await self.line.receiver.trigger(dag_id, conf=conf, logical_date=logical_date)
        self.dag_id, self.run_id = dag_id, self.handle.run_id

    @property
    def path(self) -> str:
        return f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"

    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(self.path).raise_for_status().json()
        return found

    def states(self) -> dict[str, str | None]:
        tasks = self.api.get(f"{self.path}/taskInstances").raise_for_status().json()["task_instances"]
        return {task["task_id"]: task["state"] for task in tasks}

    async def running(self, task_id: str = "work") -> None:
        async def started() -> bool:
            return self.states().get(task_id) == "running"

        await eventually(started)

    async def ended(self) -> str:
        async def state() -> str | None:
            found: str = self.run()["state"]
            return found if found in ("success", "failed") else None

        ended: str = await eventually(state)
        return ended

    def mark(self, state: str) -> None:
        self.api.patch(self.path, json={"state": state}).raise_for_status()

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.seen_before = len(self.line.of_run(self.run_id))


Case = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Expected:
    """How the run must end, which paths must report it, and which may if the scheduler is just looking at it."""

    play: Case
    state: str | None
    reporters: frozenset[str]
    rarely: frozenset[str]


CASES: dict[str, Expected] = {}


def case(title: str, state: str | None, *reporters: str, rarely: str | None = None) -> Callable[[Case], Case]:
    """Add a case to the matrix."""

    def add(play: Case) -> Case:
        CASES[title] = Expected(play, state, frozenset(reporters), frozenset([rarely] if rarely else []))
        return play

    return add


@case("all tasks succeed", "success", "task", "callback")
async def all_succeed(scene: Scene) -> None:
    await scene.trigger("ending_both")


@case("a task fails", "failed", "task", "callback")
async def one_fails(scene: Scene) -> None:
    await scene.trigger("ending_both", fail=True)


@case("`dagrun_timeout`", "failed", "callback")
async def times_out(scene: Scene) -> None:
    await scene.trigger("ending_timeout", seconds=60)


@case("marked failed through the API, final task unfinished", "failed", "task", "callback")
async def marked_failed(scene: Scene) -> None:
    await scene.trigger("ending_both", seconds=60)
    await scene.running()
    scene.mark("failed")


@case("marked failed through the API, no teardown", "failed", rarely="callback")
async def marked_failed_without_teardown(scene: Scene) -> None:
    await scene.trigger("ending_callback", seconds=60)
    await scene.running()
    scene.mark("failed")


@case("marked success through the API, no teardown", "success", rarely="callback")
async def marked_success_without_teardown(scene: Scene) -> None:
    await scene.trigger("ending_callback", seconds=60)
    await scene.running()
    scene.mark("success")


@case("a finished run is marked otherwise", "failed")
async def marked_after_the_end(scene: Scene) -> None:
    await scene.trigger("ending_both")
    await scene.ended()
    await asyncio.sleep(SILENCE)
    scene.forget()
    scene.mark("failed")


@case("cleared, and run again", "success", "task", "callback")
async def cleared(scene: Scene) -> None:
    await scene.trigger("ending_both")
    await scene.ended()
    await asyncio.sleep(SILENCE)
    scene.forget()
    scene.api.post(f"{scene.path}/clear", json={"dry_run": False}).raise_for_status()

    async def again() -> bool:
        return bool(scene.run()["state"] not in ("success", "failed"))

    await eventually(again)


@case("a queued run is deleted", None)
async def deleted(scene: Scene) -> None:
    scene.api.patch("/api/v2/dags/ending_both", json={"is_paused": True}).raise_for_status()
    try:
        await scene.trigger("ending_both")
        scene.api.delete(scene.path).raise_for_status()
    finally:
        scene.api.patch("/api/v2/dags/ending_both", json={"is_paused": False}).raise_for_status()


@case("kill -9 of the task's process", "failed", "task", "callback")
async def killed(scene: Scene) -> None:
    await scene.trigger("ending_both", seconds=60)
    await scene.running()
    os.kill(task_process(scene.airflow), signal.SIGKILL)


@case("a task is set failed through the API", "failed", "task", "callback")
async def task_set_failed(scene: Scene) -> None:
    await scene.trigger("ending_both", seconds=60)
    await scene.running()
    path = f"{scene.path}/taskInstances/work"
    scene.api.patch(path, json={"new_state": "failed"}).raise_for_status()


@case("no tasks at all", "success")
async def empty(scene: Scene) -> None:
    await scene.trigger("ending_empty")


@case("all tasks skipped, no final task", "success")
async def all_skipped(scene: Scene) -> None:
    await scene.trigger("ending_callback", skip=True)


@case("all tasks skipped, with a final task", "success", "task", "callback")
async def all_skipped_with_final_task(scene: Scene) -> None:
    await scene.trigger("ending_both", skip=True)


@case("the DAG is paused while it runs, and unpaused", "success", "task", "callback")
async def paused(scene: Scene) -> None:
    await scene.trigger("ending_both", seconds=2)
    await scene.running()
    scene.api.patch("/api/v2/dags/ending_both", json={"is_paused": True}).raise_for_status()
    try:
        await asyncio.sleep(6)
        assert scene.run()["state"] == "running"
        assert not scene.line.of_run(scene.run_id)
    finally:
        scene.api.patch("/api/v2/dags/ending_both", json={"is_paused": False}).raise_for_status()


@case("a run of a backfill", "success", "task", "callback")
async def backfilled(scene: Scene) -> None:
    await backfill(scene, day=1, seconds=0)


@case("a backfill is cancelled, its queued run with it", "failed")
async def backfill_cancelled(scene: Scene) -> None:
    # One run at a time: the second waits in the queue while the first one works.
    made = await backfill(scene, day=2, days=2, seconds=8)
    scene.api.put(f"/api/v2/backfills/{made}/cancel").raise_for_status()


async def backfill(scene: Scene, *, day: int, days: int = 1, seconds: float) -> int:
    """Start a backfill whose runs ask for a callback, and look at its last run."""
    first = datetime(2026, 3, day, tzinfo=timezone.utc)
    wanted = {
        "dag_id": "ending_backfill",
        "from_date": first.isoformat(),
        "to_date": (first + timedelta(days=days - 1)).isoformat(),
        "max_active_runs": 1,
        "dag_run_conf": {"callback_url": scene.line.receiver.callback_url, "seconds": seconds},
    }

    async def accepted() -> httpx.Response | None:
        answer = scene.api.post("/api/v2/backfills", json=wanted)
        # Airflow takes one backfill of a DAG at a time.
        return None if answer.status_code == httpx.codes.CONFLICT else answer.raise_for_status()

    made: httpx.Response = await eventually(accepted)
    scene.dag_id = "ending_backfill"
    last = (first + timedelta(days=days - 1)).strftime("%Y-%m-%dT")

    async def found() -> str | None:
        runs = scene.api.get("/api/v2/dags/ending_backfill/dagRuns").json()["dag_runs"]
        return next((run["dag_run_id"] for run in runs if (run["logical_date"] or "").startswith(last)), None)

    scene.run_id = await eventually(found)
    return int(made.json()["id"])


def task_process(airflow: LocalAirflow) -> int:
    """Return the process in which a task of this Airflow sleeps: a leaf below the scheduler."""
    scheduler = psutil.Process(airflow.process_id("scheduler"))
    leaves = [child for child in scheduler.children(recursive=True) if not child.children()]
    tasks = [leaf for leaf in leaves if "task supervisor" in " ".join((leaf.parent() or leaf).cmdline())]
    (task,) = tasks or leaves[-1:]
    return task.pid


@dataclass
class Seen:
    """What a case showed: seconds after the end of the run, by reporter."""

    delays: dict[str, float] = field(default_factory=dict)


SEEN: dict[str, Seen] = {}


async def test_the_first_callback_arrives_too(line: Line) -> None:
    """It is slow, because the DAG processor loads its API for it; the cases after this one are not."""
    handle = await line.receiver.trigger("ending_callback")
    assert (await handle.completion(timeout=LONG)).succeeded


@pytest.mark.parametrize("title", list(CASES))
async def test_who_reports_the_ending(line: Line, airflow: LocalAirflow, title: str) -> None:
    """The expected paths report it, with Airflow's own state, as one event; and a caller is resolved once."""
    expected = CASES[title]
    with airflow.api() as api:
        scene = Scene(line, airflow, api)
        await expected.play(scene)
        state = await scene.ended() if expected.state else None

        async def all_reported() -> bool:
            return {reporter(exchange) for exchange in news(scene)} >= expected.reporters

        if expected.reporters:
            await eventually(all_reported, within=60)
        else:
            await asyncio.sleep(SILENCE)
        assert state == expected.state
        reporters = {reporter(exchange) for exchange in news(scene)}
        assert expected.reporters <= reporters <= expected.reporters | expected.rarely
        assert len({exchange.body["id"] for exchange in news(scene)}) == bool(reporters)
        assert {exchange.body["data"]["state"] for exchange in news(scene)} <= {expected.state}
        SEEN[title] = Seen()
        if expected.reporters:
            ended = datetime.fromisoformat(scene.run()["end_date"].replace("Z", "+00:00")).timestamp()
            SEEN[title] = Seen({reporter(exchange): exchange.received_at - ended for exchange in news(scene)})
    if scene.handle is None:
        return
    if scene.seen_before or reporters:
        assert (await scene.handle.completion(timeout=LONG)).run_id == scene.run_id
    else:
        with pytest.raises(CompletionTimeout):
            await scene.handle.completion(timeout=0)


def news(scene: Scene) -> list[Any]:
    return scene.line.of_run(scene.run_id)[scene.seen_before :]


def reporter(exchange: Any) -> str:
    return str(exchange.body["data"]["reported_by"])


def test_the_coverage_table_is_the_matrix() -> None:
    """``docs/coverage.md`` lists every case, and for each the paths that report it."""
    if os.environ.get("RINGBACK_WRITE_COVERAGE"):
        assert SEEN.keys() == CASES.keys()
        (ROOT / "docs" / "coverage.md").write_text(coverage_table(), encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs" / "coverage.md").read_text().splitlines() if "|" in line]
    listed = {
        row[0].strip(): {name for name, cell in zip(("task", "callback"), row[2:4], strict=True) if "s" in cell.split()}
        for row in rows[2:]
    }
    assert listed == {title: set(expected.reporters) for title, expected in CASES.items()}


INTRODUCTION = """# Who reports which ending

Seen on a real Airflow 3.3.2 (SQLite, two cores) with the final task and the callback alone, no listener and no relay.
The figures are seconds from the run's `end_date` to the receiver's having the event; below zero is before Airflow had
closed the run. `-`: this path does not report that ending; `rarely`: only if the scheduler looks at the run while it
is being marked. Where neither does, only the caller's own timeout ends the wait. The very first callback after a DAG
processor's start, some seconds slower, is left out. Not in the table yet: a deadlock, and a DAG whose file is removed.

`make coverage` makes this page anew.
"""


def coverage_table() -> str:
    """Return the page with what this run saw."""
    lines = [
        INTRODUCTION,
        "| How the run ended | Airflow's state | final task | callback |",
        "|---|---|---|---|",
    ]
    for title, expected in CASES.items():
        delays = SEEN[title].delays
        cells = [
            f"{delays[path]:+.2f} s" if path in expected.reporters else "rarely" if path in expected.rarely else "-"
            for path in ("task", "callback")
        ]
        lines.append(f"| {title} | {expected.state or 'deleted'} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"
