"""Predict a run's final state from inside its last task, by Airflow's own leaf rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["TaskInstance", "TaskShape", "effective_leaves", "predict_state"]

_FAILED_STATES = frozenset({"failed", "upstream_failed"})


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskShape:
    """What the leaf rule needs to know of a task."""

    downstream: frozenset[str]
    is_teardown: bool = False
    on_failure_fail_dagrun: bool = False

    @property
    def ignorable(self) -> bool:
        """A teardown whose outcome does not count for the run."""
        return self.is_teardown and not self.on_failure_fail_dagrun


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInstance:
    """One finished task instance; ``map_index`` is -1 unless it was mapped."""

    task_id: str
    map_index: int = -1
    state: str | None = None

    @property
    def failed(self) -> bool:
        """Whether Airflow counts this state as a failure."""
        return self.state in _FAILED_STATES


def effective_leaves(tasks: Mapping[str, TaskShape]) -> frozenset[str]:
    """Return the tasks whose states decide the run's.

    Source: ``airflow/models/dagrun.py``, ``DagRun._tis_for_dagrun_state``.
    """
    leaves = frozenset(
        task_id
        for task_id, task in tasks.items()
        if not task.ignorable and all(tasks[down].ignorable for down in task.downstream if down in tasks)
    )
    return leaves or frozenset(task_id for task_id, task in tasks.items() if not task.downstream & tasks.keys())


def predict_state(
    tasks: Mapping[str, TaskShape], instances: Iterable[TaskInstance], *, own_task_id: str
) -> Literal["success", "failed"]:
    """Return the state that the run will have once the final task is done, whatever becomes of it.

    Source: ``airflow/models/dagrun.py``, ``DagRun.update_state``: any failed leaf fails the run, once
    nothing is unfinished.

    :param tasks: of the whole DAG, by task id.
    :param instances: the finished task instances of the run.
    :param own_task_id: the final task, an ignorable teardown.  Where all others are such teardowns too it alone
        counts, and it makes a point of succeeding.
    """
    leaves = effective_leaves(tasks) - {own_task_id}
    return "failed" if any(ti.failed for ti in instances if ti.task_id in leaves) else "success"
