"""What a caller is given when the run has ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ringback_protocol import CompletionEvent, FailedTask, ResultOmitted
from ringback_protocol.event import ReportedBy, RunState
from ringback_receiver.errors import CompletionFailed

__all__ = ["DELETED", "Completion"]

DELETED = "deleted"
"""The reason of an ending that is a run's disappearance."""


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """One verified ending of one DAG run.

    :param event: all that was reported, as received.
    :param request_id: of the request that it answers.
    :param metadata: what the caller gave to ``trigger``.
    :param revision: whether an earlier ending has already resolved the request: the run was cleared and
        ran again, or somebody changed its state.
    :param late: whether the request's deadline had passed, so that nobody waited for it any more.
    """

    event: CompletionEvent
    request_id: str
    metadata: Any = None
    revision: bool = False
    late: bool = False

    @property
    def dag_id(self) -> str:
        """The DAG's id."""
        return self.event.data.dag_id

    @property
    def run_id(self) -> str:
        """The DAG run's id."""
        return self.event.data.run_id

    @property
    def event_id(self) -> str:
        """The event's id, the same however often it is sent: an idempotency key for what you do with it."""
        return self.event.id

    @property
    def state(self) -> RunState:
        """How the run ended, in Airflow's words: ``success`` or ``failed``."""
        return self.event.data.state

    @property
    def succeeded(self) -> bool:
        """Whether the run ended with success."""
        return self.state == "success"

    @property
    def failed(self) -> bool:
        """Whether the run ended without success."""
        return self.state == "failed"

    @property
    def deleted(self) -> bool:
        """Whether the run was deleted before its end was known; its :attr:`state` is then ``failed``."""
        return self.reported_by == "reconciler" and self.reason == DELETED

    @property
    def result(self) -> Any:
        """What the DAG returned, or ``None``; see :attr:`result_omitted`."""
        return self.event.data.result

    @property
    def result_omitted(self) -> ResultOmitted | None:
        """Why there is a result that is not here, and where to fetch it."""
        omitted = self.event.data.result_omitted
        return omitted if isinstance(omitted, ResultOmitted) else None

    @property
    def failed_tasks(self) -> tuple[FailedTask, ...]:
        """The first task instances that failed; :attr:`failed_task_count` tells of all."""
        return self.event.data.failed_tasks

    @property
    def failed_task_count(self) -> int | None:
        """How many task instances failed; ``None`` where the reporter could not see them, as a relay cannot."""
        return self.event.data.failed_task_count

    @property
    def reason(self) -> str | None:
        """Why the run ended so, if Airflow said."""
        return self.event.data.reason

    @property
    def reported_by(self) -> ReportedBy:
        """Which path reported it."""
        return self.event.data.reported_by

    @property
    def run_url(self) -> str | None:
        """The run's page in Airflow's UI."""
        return self.event.data.run_url

    @property
    def start_date(self) -> datetime | None:
        """When the run started."""
        return self.event.data.start_date

    @property
    def end_date(self) -> datetime | None:
        """When the run ended, if its reporter could know."""
        return self.event.data.end_date

    def raise_for_state(self) -> Completion:
        """Return this completion if the run succeeded.

        :raises CompletionFailed: otherwise, naming the reason and the first failed tasks.
        """
        if self.succeeded:
            return self
        said = f"DAG run {self.run_id!r} of {self.dag_id!r} ended in state {self.state!r}"
        if self.reason:
            said += f" ({self.reason})"
        if self.failed_tasks:
            count = max(self.failed_task_count or 0, len(self.failed_tasks))
            names = ", ".join(task.task_id for task in self.failed_tasks[:3])
            said += f"; failed: {names}" + (f" and {count - 3} more" if count > 3 else "")
        if self.run_url:
            said += f"; see {self.run_url}"
        raise CompletionFailed(said, completion=self)
