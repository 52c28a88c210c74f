"""The ways in which a run is made to end, and what Airflow calls each."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos._scene import Scene

__all__ = ["ENDINGS", "Ending"]

Play = Callable[[Scene], None]

_ALL = ("chaos_both", "chaos_task", "chaos_callback", "chaos_bare")
_LONG = 15.0
"""Seconds in which something can be done to a running task."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One way to end.

    :param weight: how often, against the others'.
    :param dags: one of which is taken.
    :param states: in which the run ends if nothing else happens to it.
    :param asked: whether a callback is asked for.
    :param gone: whether Airflow forgets the run before it ends.
    """

    name: str
    weight: int
    dags: Sequence[str]
    states: frozenset[str]
    play: Play
    asked: bool = True
    gone: bool = False

    def pick_dag(self, chance: random.Random) -> str:
        """Return one of the DAGs."""
        return chance.choice(self.dags)


ENDINGS: dict[str, Ending] = {}


def ending(
    name: str, weight: int, *states: str, dags: Sequence[str] = _ALL, asked: bool = True, gone: bool = False
) -> Callable[[Play], Play]:
    """Add an ending."""

    def add(play: Play) -> Play:
        ENDINGS[name] = Ending(
            name=name, weight=weight, dags=dags, states=frozenset(states), play=play, asked=asked, gone=gone
        )
        return play

    return add


def short(scene: Scene) -> float:
    """Return how long a task that nobody disturbs takes."""
    return round(scene.chance.uniform(0, 3), 2)


@ending("success", 24, "success")
def succeed(scene: Scene) -> None:
    """Let the task succeed."""
    scene.trigger(seconds=short(scene))
    scene.ended()


@ending("task failure", 13, "failed")
def fail(scene: Scene) -> None:
    """Let the task fail."""
    scene.trigger(seconds=short(scene), fail=True)
    scene.ended()


@ending("all skipped", 8, "success")
def skip(scene: Scene) -> None:
    """Let the task be skipped."""
    scene.trigger(seconds=short(scene), skip=True)
    scene.ended()


@ending("no tasks", 8, "success", dags=("chaos_empty_callback", "chaos_empty_bare"))
def no_tasks(scene: Scene) -> None:
    """Run a DAG without tasks."""
    scene.trigger()
    scene.ended()


@ending("dagrun_timeout", 6, "failed", dags=("chaos_timeout_both", "chaos_timeout_bare"))
def time_out(scene: Scene) -> None:
    """Let the task outlast the DAG's timeout."""
    scene.trigger(seconds=60)
    scene.ended()


@ending("marked failed", 8, "failed")
def mark_failed(scene: Scene) -> None:
    """Mark the run failed through the API while its task runs."""
    _mark(scene, "failed")


@ending("marked success", 8, "success")
def mark_success(scene: Scene) -> None:
    """Mark the run successful through the API while its task runs."""
    _mark(scene, "success")


def _mark(scene: Scene, state: str) -> None:
    scene.trigger(seconds=_LONG)
    if scene.running():
        scene.mark(state)
    scene.ended()


@ending("marked after the end", 4, "success", "failed")
def mark_afterwards(scene: Scene) -> None:
    """Mark a finished run otherwise."""
    scene.trigger(seconds=short(scene))
    before = scene.ended()
    scene.pause(scene.chance.uniform(0, 6))
    after = "success" if before == "failed" else "failed"
    scene.mark(after)
    scene.ended_as(after)


@ending("task process killed", 7, "failed")
def kill_task(scene: Scene) -> None:
    """Kill the process of the task."""
    pid_file = scene.folder / f"{scene.run.run_id}.pid"
    scene.trigger(seconds=_LONG, pid_file=str(pid_file))
    if scene.until(lambda: pid_file.exists() or scene.has_ended()) and pid_file.exists():
        process = int(pid_file.read_text(encoding="utf-8"))
        if _is_task(process):
            os.kill(process, signal.SIGKILL)
        else:
            scene.run.remark = "the task's process was gone before it could be killed"
    scene.ended()


def _is_task(process: int) -> bool:
    try:
        return b"airflow" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


@ending("cleared and run again", 4, "success", "failed")
def clear(scene: Scene) -> None:
    """Clear a finished run."""
    scene.trigger(seconds=short(scene), fail=scene.chance.random() < 0.5)
    scene.ended()
    scene.pause(scene.chance.uniform(0, 6))
    scene.clear()
    scene.ended()


@ending("deadlock", 6, "failed", dags=("chaos_deadlock_both", "chaos_deadlock_bare"))
def deadlock(scene: Scene) -> None:
    """Run a DAG whose last task waits for one that never gets an instance."""
    scene.trigger(logical_date=True)
    scene.ended()


@ending("deleted while queued", 3, dags=("chaos_paused",), gone=True)
def delete(scene: Scene) -> None:
    """Delete the run before it starts."""
    scene.trigger()
    scene.delete()


@ending("nobody asked", 3, "success", "failed", asked=False)
def unasked(scene: Scene) -> None:
    """Trigger a run that asks for no callback."""
    scene.trigger(seconds=short(scene), fail=scene.chance.random() < 0.5)
    scene.ended()


@ending("only failures asked for", 3, "success")
def unwanted(scene: Scene) -> None:
    """Ask to be told of a failure, and succeed."""
    scene.run.wanted = frozenset({"failed"})
    scene.trigger(seconds=short(scene))
    scene.ended()
