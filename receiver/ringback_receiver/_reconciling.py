"""From what Airflow says of an overdue run to what becomes of its request.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeAlias, cast

from ringback_protocol import CompletionData, CompletionEvent, ResultOmitted, encode_event, event_id
from ringback_protocol.event import RunState
from ringback_receiver._callback_conf import traceparent_in
from ringback_receiver._completion import DELETED
from ringback_receiver._dag_run import DagRun
from ringback_receiver._deadlines import seconds_of
from ringback_receiver._matching import PendingRequest
from ringback_receiver._store import Checked
from ringback_receiver.errors import ConfigurationError

__all__ = ["CHECK_AFTER", "Abandon", "Resolve", "Verdict", "check_again", "check_schedule", "first_check", "judge"]

CHECK_AFTER = (60.0, 300.0, 900.0, 3_600.0)
"""Seconds from trigger to the first question, and from each to the next; the last one repeats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolve:
    """The run has ended, or is gone: record this event, with its body."""

    event: CompletionEvent
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Abandon:
    """There never was such a run."""

    why: str


Verdict: TypeAlias = Resolve | Abandon | Checked


def check_schedule(intervals: Sequence[float]) -> tuple[float, ...]:
    """Return a schedule of checks.

    :raises ConfigurationError: an interval cannot be right.
    """
    try:
        return tuple(seconds_of(interval, "every interval") for interval in intervals)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"reconcile: {error}") from error


def first_check(now: float, schedule: Sequence[float], expected: float | timedelta | None) -> float | None:
    """Return when to ask about a run that is triggered now; ``None`` for never.

    :param expected: how long the run should take.
    :raises ValueError: it is not more than zero.
    """
    after = seconds_of(expected, "expected_duration") if expected is not None else None
    if not schedule:
        return None
    return now + (schedule[0] if after is None else after)


def check_again(request: PendingRequest, now: float, schedule: Sequence[float], *, exists: bool) -> Checked:
    """Return when to ask again about a run that was asked about now.

    :param exists: whether it was seen.
    """
    pause = schedule[min(request.checks + 1, len(schedule) - 1)]
    return Checked(request_id=request.request_id, next_check=now + pause, exists=exists)


def judge(
    request: PendingRequest, run: DagRun | None, *, source: str, now: float, schedule: Sequence[float]
) -> Verdict:
    """Judge what Airflow says of a run.

    :param run: ``None`` if Airflow knows no such run.
    :param source: the Airflow deployment, as its own events name it.
    :raises ValueError: no event can hold it, as with ids of absurd length.
    """
    if run is not None:
        if run.finished:
            return _resolve(_ending(request, run, source, now))
        return check_again(request, now, schedule, exists=True)
    if request.confirmed:
        return _resolve(_deletion(request, source, now))
    if request.checks == 0:
        # Whoever triggers it may still be at it.
        return check_again(request, now, schedule, exists=False)
    return Abandon(why="Airflow knows no such run")


def _resolve(event: CompletionEvent) -> Resolve:
    return Resolve(event=event, body=encode_event(event))


def _ending(request: PendingRequest, run: DagRun, source: str, now: float) -> CompletionEvent:
    """Make the event that the notifier would make of this ending, as far as a list of runs tells."""
    duration = (run.end_date - run.start_date).total_seconds() if run.start_date and run.end_date else None
    data = CompletionData(
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=cast(RunState, run.state),
        reported_by="reconciler",
        logical_date=run.logical_date,
        run_after=run.run_after,
        start_date=run.start_date,
        end_date=run.end_date,
        duration=duration,
        failed_task_count=None,
        result_omitted=ResultOmitted(reason="unavailable"),
        run_url=run.run_url or None,
    )
    traceparent = traceparent_in(run.conf)
    return _event(request, data, source, state=run.state, time=run.end_date or _instant(now), traceparent=traceparent)


def _deletion(request: PendingRequest, source: str, now: float) -> CompletionEvent:
    """Make the event of a run that is gone; its id is that of no other ending."""
    data = CompletionData(
        dag_id=request.dag_id,
        run_id=request.run_id,
        state="failed",
        reason=DELETED,
        reported_by="reconciler",
        failed_task_count=None,
        result_omitted=ResultOmitted(reason="unavailable"),
    )
    return _event(request, data, source, state=DELETED, time=_instant(now))


def _event(
    request: PendingRequest,
    data: CompletionData,
    source: str,
    *,
    state: str,
    time: datetime,
    traceparent: str | None = None,
) -> CompletionEvent:
    return CompletionEvent.of(
        data,
        id=event_id(
            source=source,
            dag_id=data.dag_id,
            run_id=data.run_id,
            start_date=data.start_date,
            state=state,
            callback_url=request.callback_url,
        ),
        source=source,
        audience=request.callback_url,
        correlationid=request.request_id,
        traceparent=traceparent,
        time=time,
    )


def _instant(now: float) -> datetime:
    return datetime.fromtimestamp(now, timezone.utc)
