"""The calls that the demo makes, and what must come of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ringback_receiver import Completion

__all__ = ["CALLS", "Call", "Heard"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One run to trigger.

    :param what: what is special about it, in a few words.
    :param expected: state, reporter, result and the ids of the failed tasks.
    :param mark: the state that somebody marks the run with, through the API, while it runs.
    """

    dag_id: str
    what: str
    conf: dict[str, Any] = field(default_factory=dict)
    expected: tuple[str, str, Any, tuple[str, ...]]
    mark: str | None = None


CALLS = (
    Call(
        dag_id="sales_report",
        what="a final task reports a result",
        conf={"region": "APAC"},
        expected=("success", "task", {"region": "APAC", "rows": 3, "total": 4213, "published": True}, ()),
    ),
    Call(
        dag_id="long_job",
        what="one of three mapped tasks fails",
        conf={"parts": 3, "seconds": 1, "broken_part": 1},
        expected=("failed", "task", {"squares": [0, 4]}, ("work",)),
    ),
    Call(
        dag_id="callback_only",
        what="the DAG-run callback reports a result",
        expected=("success", "callback", 42, ()),
    ),
    Call(
        dag_id="callback_only",
        what="the DAG-run callback reports a failure",
        conf={"fail": True},
        expected=("failed", "callback", 42, ("check",)),
    ),
    Call(
        dag_id="legacy_job",
        what="no line of ours in the DAG, and dagrun_timeout ends the run",
        conf={"seconds": 120},
        expected=("failed", "listener", None, ()),
    ),
    Call(
        dag_id="legacy_job",
        what="no line of ours in the DAG, and somebody marks the run failed",
        conf={"seconds": 120},
        expected=("failed", "listener", None, ()),
        mark="failed",
    ),
)


_REPORTERS = {"task": "final task", "callback": "DAG-run callback", "listener": "listener + relay"}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What came of a call.

    :param delay: seconds from the run's end, as Airflow has it, to the caller's knowing; negative if the
        caller knew before.
    """

    call: Call
    completion: Completion | None = None
    airflows_state: str | None = None
    delay: float = 0.0

    @property
    def as_expected(self) -> bool:
        """Whether everything is as it must be, Airflow's own state included."""
        told = self.completion
        if told is None:
            return False
        failed = tuple(task.task_id for task in told.failed_tasks)
        return (told.state, told.reported_by, told.result, failed) == self.call.expected and (
            told.state == self.airflows_state
        )

    def row(self) -> tuple[str, ...]:
        """Return this call's row of the table."""
        told = self.completion
        if told is None:
            return self.call.dag_id, "nobody", "?", "", "never", "[red]✗[/]"
        failed = ", ".join(
            task.task_id + (f"[{task.map_index}]" if task.map_index >= 0 else "") for task in told.failed_tasks
        )
        when = f"{abs(self.delay):.2f} s {'after' if self.delay >= 0 else 'before'} Airflow closed the run"
        return (
            told.dag_id,
            _REPORTERS.get(told.reported_by, told.reported_by),
            told.state,
            f"failed: {failed}".replace("[", r"\[") if failed else str(told.result),
            when,
            "[green]✓[/]" if self.as_expected else "[red]✗[/]",
        )
