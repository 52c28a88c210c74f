"""The rows of the coverage matrix: how each ending is brought about on a real Airflow, and who must report it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
from conftest import Exchange, Line, eventually

from demo.local_airflow import LocalAirflow
from ringback_receiver import RunHandle

__all__ = ["CASES", "Expected", "Scene"]


@dataclass
class Scene:
    """A case in progress.

    :param kind: ``ending`` for DAGs with both of our lines, ``bare`` for the same without any.
    :param reporters: who is expected to report it, for scenes that have to wait for a first report.
    """

    line: Line
    airflow: LocalAirflow
    api: httpx.AsyncClient
    kind: str
    folder: Path
    reporters: frozenset[str]
    dag_id: str = ""
    run_id: str = ""
    handle: RunHandle | None = None
    known: set[str] = field(default_factory=set)
    """Event ids of an earlier ending of the same run."""

    async def trigger(self, name: str, *, logical_date: datetime | None = None, **conf: Any) -> None:
        self.dag_id = f"{self.kind}_{name}"
        self.handle = await self.line.receiver.trigger(self.dag_id, conf=conf, logical_date=logical_date)
        self.run_id = self.handle.run_id

    @property
    def path(self) -> str:
        return f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"

    async def run(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.api.get(self.path)).raise_for_status().json()
        return found

    async def working(self) -> None:
        """Wait until the task ``work`` runs."""
        await self._work("running")

    async def worked(self) -> None:
        """Wait until the task ``work`` has succeeded."""
        await self._work("success")

    async def _work(self, state: str) -> None:
        async def reached() -> bool:
            task = (await self.api.get(f"{self.path}/taskInstances/work")).raise_for_status().json()
            return bool(task["state"] == state)

        await eventually(reached, every=0.5)

    @property
    def began(self) -> Path:
        """The file into which a task writes its process id, if it is told to."""
        return self.folder / f"{self.dag_id}.pid"

    async def process(self) -> int:
        """Wait until the task's code runs, and return its process id."""

        async def written() -> str | None:
            return self.began.read_text(encoding="utf-8") if self.began.exists() else None

        return int(await eventually(written))

    async def ended(self) -> str:
        async def state() -> str | None:
            found: str = (await self.run())["state"]
            return found if found in ("success", "failed") else None

        ended: str = await eventually(state, every=0.5)
        return ended

    async def mark(self, state: str) -> None:
        (await self.api.patch(self.path, json={"state": state})).raise_for_status()

    async def pause(self, paused: bool) -> None:
        answer = await self.api.patch(f"/api/v2/dags/{self.dag_id}", json={"is_paused": paused})
        answer.raise_for_status()

    def exchanges(self) -> list[Exchange]:
        """Return what came in about the run; run ids of backfills are not unique among DAGs."""
        return [
            exchange for exchange in self.line.of_run(self.run_id) if exchange.body["data"]["dag_id"] == self.dag_id
        ]

    def news(self) -> list[Exchange]:
        """Return what came in about the ending that is looked at."""
        return [exchange for exchange in self.exchanges() if exchange.body["id"] not in self.known]

    async def reported(self, by: frozenset[str]) -> None:
        """Wait until each of these has reported the ending."""

        async def all_of_them() -> bool:
            return by <= {exchange.reporter for exchange in self.news()}

        await eventually(all_of_them, within=90)

    async def reported_at_all(self) -> None:
        """Wait until anybody has reported the ending."""

        async def anybody() -> bool:
            return bool(self.news())

        await eventually(anybody, within=90)

    async def ended_once(self) -> None:
        """Let a first ending pass, and look only at what comes after it."""
        await self.ended()
        await self.reported(self.reporters)
        await self.reported_at_all()
        self.known = {exchange.body["id"] for exchange in self.news()}

    async def stale(self, expected: bool) -> None:
        """Wait until the DAG processor has seen that the DAG's file is gone, or back."""

        async def seen() -> bool:
            dag = (await self.api.get(f"/api/v2/dags/{self.dag_id}")).raise_for_status().json()
            return bool(dag["is_stale"] == expected)

        await eventually(seen)

    async def trigger_vanishing(self, why: str) -> None:
        """Trigger a DAG whose file is to be taken away, and wait until its task runs; it goes on until told."""
        self.dag_id = f"{self.kind}_vanishing_{why}"
        await self.trigger(f"vanishing_{why}", began=str(self.began))
        await self.process()

    @asynccontextmanager
    async def without_file(self) -> AsyncIterator[None]:
        """Take the DAG's file away, and put it back afterwards."""
        file = Path(self.airflow.environment["AIRFLOW__CORE__DAGS_FOLDER"]) / f"{self.dag_id}.py"
        text = file.read_text(encoding="utf-8")
        file.unlink()
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")

    async def callback_lost(self) -> None:
        """Wait until the DAG processor has said that it knows no such DAG."""

        async def said() -> bool:
            logs = (self.airflow.home / "logs" / "dag_processor").rglob(f"{self.dag_id}.py.log")
            return any("not found in DagBag" in log.read_text(encoding="utf-8") for log in logs)

        await eventually(said)


Case = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How a run must end and which paths must report it.

    :param reporters: of ``task``, ``callback``, ``listener``, ``relay``: each must, where it is on.
    :param rarely: may, if the scheduler is just looking at the run.
    :param apart: not together with anything else, but last.
    :param slow: begins first: it waits for something that comes once a minute.
    """

    play: Case
    state: str | None
    reporters: frozenset[str]
    rarely: frozenset[str]
    apart: bool
    slow: bool


CASES: dict[str, Expected] = {}


def case(
    title: str,
    state: str | None,
    *reporters: str,
    rarely: tuple[str, ...] = (),
    apart: bool = False,
    slow: bool = False,
) -> Callable[[Case], Case]:
    """Add a row to the matrix."""

    def add(play: Case) -> Case:
        CASES[title] = Expected(
            play=play,
            state=state,
            reporters=frozenset(reporters),
            rarely=frozenset(rarely),
            apart=apart,
            slow=slow,
        )
        return play

    return add


@case("all tasks succeed", "success", "task", "callback", "listener", "relay")
async def all_succeed(scene: Scene) -> None:
    await scene.trigger("usual")


@case("a task fails", "failed", "task", "callback", "listener", "relay")
async def one_fails(scene: Scene) -> None:
    await scene.trigger("usual", fail=True)


@case("`dagrun_timeout`", "failed", "callback", "listener", "relay")
async def times_out(scene: Scene) -> None:
    await scene.trigger("timeout", seconds=60)


@case("a deadlock, below a finished task", "failed", "callback", "listener", "relay")
async def deadlocked(scene: Scene) -> None:
    await scene.trigger("deadlock", logical_date=datetime.now(timezone.utc))


@case("a deadlock, below nothing that finished", "failed", "listener", "relay")
async def deadlocked_unstarted(scene: Scene) -> None:
    # Airflow's callback then has no run in its context.
    await scene.trigger("deadlock_unstarted", logical_date=datetime.now(timezone.utc))


@case("marked failed through the API, final task unfinished", "failed", "task", "callback", "listener", "relay")
async def marked_failed(scene: Scene) -> None:
    await scene.trigger("usual", seconds=60)
    await scene.working()
    await scene.mark("failed")


@case("marked failed through the API, but its leaf is skipped", "success", "task", "callback", "listener", "relay")
async def marked_failed_in_vain(scene: Scene) -> None:
    # Airflow tells its listeners at once that the run has failed; when the teardown is done, it ends as a success.
    await scene.trigger("leaf", seconds=60)
    await scene.working()
    await scene.mark("failed")


@case("marked failed through the API, no teardown", "failed", "listener", "relay", rarely=("callback",))
async def marked_failed_without_teardown(scene: Scene) -> None:
    await scene.trigger("no_teardown", seconds=60)
    await scene.working()
    await scene.mark("failed")


@case("marked success through the API, no teardown", "success", "listener", "relay", rarely=("callback",))
async def marked_success_without_teardown(scene: Scene) -> None:
    await scene.trigger("no_teardown", seconds=60)
    await scene.working()
    await scene.mark("success")


@case("marked failed through the API, many runs at once", "failed", "listener", "relay", rarely=("callback",))
async def marked_failed_in_bulk(scene: Scene) -> None:
    await scene.trigger("no_teardown", seconds=60)
    await scene.working()
    entity = {"dag_id": scene.dag_id, "dag_run_id": scene.run_id, "state": "failed"}
    actions = {"actions": [{"action": "update", "entities": [entity]}]}
    answer = (await scene.api.patch(f"/api/v2/dags/{scene.dag_id}/dagRuns", json=actions)).raise_for_status().json()
    assert not answer["update"]["errors"]


@case("a finished run is marked otherwise", "failed", "listener", "relay")
async def marked_after_the_end(scene: Scene) -> None:
    await scene.trigger("usual")
    await scene.ended_once()
    await scene.mark("failed")


@case("cleared, and run again", "success", "task", "callback", "listener", "relay")
async def cleared(scene: Scene) -> None:
    await scene.trigger("usual")
    await scene.ended_once()
    (await scene.api.post(f"{scene.path}/clear", json={"dry_run": False})).raise_for_status()


@case("a queued run is deleted", None)
async def deleted(scene: Scene) -> None:
    scene.dag_id = f"{scene.kind}_queued"
    await scene.pause(True)
    await scene.trigger("queued")
    (await scene.api.delete(scene.path)).raise_for_status()


@case("kill -9 of the task's process", "failed", "task", "callback", "listener", "relay")
async def killed(scene: Scene) -> None:
    scene.dag_id = f"{scene.kind}_usual"
    await scene.trigger("usual", seconds=60, began=str(scene.began))
    os.kill(await scene.process(), signal.SIGKILL)


@case("a task is set failed through the API", "failed", "task", "callback", "listener", "relay")
async def task_set_failed(scene: Scene) -> None:
    await scene.trigger("usual", seconds=60)
    await scene.working()
    path = f"{scene.path}/taskInstances/work"
    (await scene.api.patch(path, json={"new_state": "failed"})).raise_for_status()


@case("no tasks at all", "success", "listener", "relay")
async def empty(scene: Scene) -> None:
    await scene.trigger("empty")


@case("all tasks skipped, no final task", "success", "listener", "relay")
async def all_skipped(scene: Scene) -> None:
    await scene.trigger("no_teardown", skip=True)


@case("all tasks skipped, with a final task", "success", "task", "callback", "listener", "relay")
async def all_skipped_with_final_task(scene: Scene) -> None:
    await scene.trigger("usual", skip=True)


@case("the DAG is paused while it runs, and unpaused", "success", "task", "callback", "listener", "relay")
async def paused(scene: Scene) -> None:
    await scene.trigger("paused", seconds=5)
    await scene.working()
    await scene.pause(True)
    await asyncio.sleep(8)
    assert (await scene.run())["state"] == "running"
    assert not scene.news()
    await scene.pause(False)


@case(
    "the DAG is paused while its last task runs, and stays paused",
    "success",
    "callback",
    "listener",
    "relay",
    slow=True,
)
async def paused_for_good(scene: Scene) -> None:
    # The scheduler looks at the runs of paused DAGs once a minute.
    await scene.trigger("paused_for_good", seconds=5)
    await scene.working()
    await scene.pause(True)


@case("a run of a backfill", "success", "task", "callback", "listener", "relay")
async def backfilled(scene: Scene) -> None:
    await backfill(scene, "backfill", days=1, seconds=0)


@case("a backfill is cancelled, its queued run with it", "failed", "relay")
async def backfill_cancelled(scene: Scene) -> None:
    # One run at a time: the second waits in the queue while the first one works.
    made = await backfill(scene, "backfill_cancelled", days=2, seconds=8)
    (await scene.api.put(f"/api/v2/backfills/{made}/cancel")).raise_for_status()


@case("the DAG's file is removed while it runs, and put back", "success", "task", "callback", "listener", "relay")
async def file_put_back(scene: Scene) -> None:
    # While it is away the scheduler does not look at its runs, not even for a timeout.
    await scene.trigger_vanishing("back")
    async with scene.without_file():
        await scene.stale(True)
        scene.began.unlink()
        await scene.worked()
        await asyncio.sleep(3)
        assert (await scene.run())["state"] == "running"


@case("the DAG's file is removed while it runs, and the run marked failed", "failed", "listener", "relay")
async def file_removed_and_marked(scene: Scene) -> None:
    await scene.trigger_vanishing("marked")
    async with scene.without_file():
        await scene.stale(True)
        await scene.mark("failed")


@case("the DAG's file is removed before its callback is run", "success", "task", "listener", "relay", apart=True)
async def file_removed(scene: Scene) -> None:
    # Between the end of a run and its callback there is only the DAG processor's next look.
    await scene.trigger_vanishing("lost")
    scene.airflow.kill_component("dag-processor")
    scene.began.unlink()
    await scene.ended()
    async with scene.without_file():
        scene.airflow.start_component("dag-processor")
        await scene.stale(True)
        if scene.kind == "ending":
            await scene.callback_lost()


async def backfill(scene: Scene, name: str, *, days: int, seconds: float) -> int:
    """Start a backfill whose runs ask for a callback, and look at its last run."""
    first = datetime(2026, 3, 1, tzinfo=timezone.utc)
    scene.dag_id = f"{scene.kind}_{name}"
    wanted = {
        "dag_id": scene.dag_id,
        "from_date": first.isoformat(),
        "to_date": (first + timedelta(days=days - 1)).isoformat(),
        "max_active_runs": 1,
        "dag_run_conf": {"callback_url": scene.line.receiver.callback_url, "seconds": seconds},
    }
    made = (await scene.api.post("/api/v2/backfills", json=wanted)).raise_for_status().json()
    last = (first + timedelta(days=days - 1)).strftime("%Y-%m-%dT")

    async def found() -> str | None:
        runs = (await scene.api.get(f"/api/v2/dags/{scene.dag_id}/dagRuns")).raise_for_status().json()["dag_runs"]
        return next((run["dag_run_id"] for run in runs if (run["logical_date"] or "").startswith(last)), None)

    scene.run_id = await eventually(found)
    return int(made["id"])
