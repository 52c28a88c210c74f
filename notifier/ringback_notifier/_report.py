"""From what is known of a run to the event that reports it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from msgspec import UNSET

from ringback_notifier._prediction import TaskInstance
from ringback_protocol import (
    CallbackRequest,
    CompletionData,
    CompletionEvent,
    FailedTask,
    ResultOmitted,
    event_id,
)
from ringback_protocol.event import MAX_FAILED_TASKS, ReportedBy, RunState

__all__ = ["Ending", "Result", "Site", "event_of"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """This Airflow deployment.

    :param source: its identity in events, ``[ringback] source``.
    :param base_url: where people and programs reach it, without a slash at the end.
    """

    source: str
    base_url: str

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{self.base_url}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"

    def task_url(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return the address of a task instance's page, where its log is."""
        mapped = f"/mapped/{task.map_index}" if task.map_index >= 0 else ""
        return f"{self.run_url(dag_id, run_id)}/tasks/{quote(task.task_id, safe='')}{mapped}"

    def xcom_url(self, dag_id: str, run_id: str, task_id: str, key: str) -> str:
        """Return where the REST API serves an XCom."""
        path = (dag_id, "dagRuns", run_id, "taskInstances", task_id, "xcomEntries", key)
        return f"{self.base_url}/api/v2/dags/" + "/".join(quote(part, safe="") for part in path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What the run has to tell.

    :param value: any JSON value.
    :param fetch_url: where it can be fetched should it be too large to travel.
    :param unavailable: it was asked for but could not be had.
    """

    value: Any = None
    fetch_url: str | None = None
    unavailable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """What is known of a run that has ended, or is about to; times are aware.

    :param task_instances: ``None`` where they are unknown.
    """

    dag_id: str
    run_id: str
    state: RunState
    reason: str | None = None
    logical_date: datetime | None = None
    run_after: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    task_instances: tuple[TaskInstance, ...] | None = ()
    result: Result = Result()


def event_of(
    ending: Ending, request: CallbackRequest, *, site: Site, reported_by: ReportedBy, now: datetime
) -> CompletionEvent:
    """Build the event for one ending and one callback request.

    :param now: aware; it stands in for the end of a run that is not quite over.
    """
    failed = _failed_tasks(ending.task_instances or ())
    duration = None
    if ending.start_date and ending.end_date:
        duration = (ending.end_date - ending.start_date).total_seconds()
    data = CompletionData(
        dag_id=ending.dag_id,
        run_id=ending.run_id,
        state=ending.state,
        reason=ending.reason,
        reported_by=reported_by,
        logical_date=_utc(ending.logical_date),
        run_after=_utc(ending.run_after),
        start_date=_utc(ending.start_date),
        end_date=_utc(ending.end_date),
        duration=duration,
        failed_tasks=tuple(
            FailedTask(
                task_id=task.task_id,
                map_index=task.map_index,
                state=task.state or "failed",
                log_url=site.task_url(ending.dag_id, ending.run_id, task),
            )
            for task in failed[:MAX_FAILED_TASKS]
        ),
        failed_task_count=None if ending.task_instances is None else len(failed),
        result=ending.result.value,
        result_omitted=ResultOmitted(reason="unavailable", fetch_url=ending.result.fetch_url)
        if ending.result.unavailable
        else UNSET,
        run_url=site.run_url(ending.dag_id, ending.run_id),
    )
    return CompletionEvent.of(
        data,
        id=event_id(
            source=site.source,
            dag_id=ending.dag_id,
            run_id=ending.run_id,
            start_date=ending.start_date,
            state=ending.state,
            callback_url=request.url,
        ),
        source=site.source,
        audience=request.url,
        correlationid=request.correlation_id,
        traceparent=request.traceparent,
        time=_utc(ending.end_date) or now.astimezone(timezone.utc),
    )


def _failed_tasks(instances: Iterable[TaskInstance]) -> list[TaskInstance]:
    """Return those that failed by themselves first, then those that their upstream took along."""
    failed = [task for task in instances if task.failed]
    return sorted(failed, key=lambda task: (task.state != "failed", task.task_id, task.map_index))


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    # Airflow's datetimes are pendulum's; msgspec wants the plain class.
    moment = moment.astimezone(timezone.utc)
    return datetime(*moment.timetuple()[:6], moment.microsecond, tzinfo=timezone.utc)
