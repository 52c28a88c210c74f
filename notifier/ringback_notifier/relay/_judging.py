"""From a run as Airflow's API shows it to the event that its caller asked for, if any.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from ringback_notifier._report import Ending, Result, Site, event_of
from ringback_notifier.outbox._rows import OutboxEvent
from ringback_notifier.relay._run import OversizedRequest, Run
from ringback_protocol import (
    CallbackRequest,
    CallbackRequestError,
    ProtocolError,
    encode_event,
    event_id,
    parse_callback_request,
)
from ringback_protocol.event import RunState

__all__ = ["Judgement", "NotYet", "Nothing", "Refuse", "Report", "Reporter", "Seen", "judge_ending", "judge_start"]

Reporter: TypeAlias = Literal["listener", "relay"]

_COMMITTED_WITHIN = 5.0
"""Seconds after which Airflow has committed what a hint tells of, if it ever does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What somebody saw before Airflow committed it.

    :param state: ``None`` if it could not be told.
    :param age: in seconds.
    """

    state: RunState | None
    age: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Deliver this."""

    event: OutboxEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class Refuse:
    """The caller asked in a way that cannot be honoured.

    :param event: with an id of its own, without URL and body.
    """

    event: OutboxEvent
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NotYet:
    """The run has not ended, or not as somebody saw it end a moment ago."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nothing:
    """Nobody asked."""


Judgement = Report | Refuse | NotYet | Nothing


def judge_ending(run: Run, *, site: Site, reported_by: Reporter, now: datetime, seen: Seen | None = None) -> Judgement:
    """Judge a run that may have ended.

    :param now: aware.
    :param seen: what the hint said, if there was one.
    """
    if seen is not None and _is_marked_otherwise(run, seen):
        return NotYet()
    if run.state == "success":
        return _judge(run, "success", site=site, reported_by=reported_by, now=now)
    if run.state == "failed":
        return _judge(run, "failed", site=site, reported_by=reported_by, now=now)
    return NotYet()


def judge_start(run: Run, *, expected: str | None, site: Site, reported_by: Reporter, now: datetime) -> Judgement:
    """Judge a run that was seen to start; it may have ended since, but not have been started anew.

    :param expected: the id of the event that whoever saw the start had in mind.
    :param now: aware.
    """
    judgement = _judge(run, "running", site=site, reported_by=reported_by, now=now)
    if isinstance(judgement, Report) and judgement.event.event_id != expected:
        # Until the scheduler commits the start, the run is queued and has no start date.
        return NotYet() if run.state == "queued" and run.start_date is None else Nothing()
    return judgement


def _is_marked_otherwise(run: Run, seen: Seen) -> bool:
    """Tell whether a finished run may be about to change from one ending to the other, as a mark makes it."""
    endings = {"success", "failed"}
    return {run.state, seen.state} == endings and abs(seen.age) < _COMMITTED_WITHIN


def _judge(run: Run, state: RunState, *, site: Site, reported_by: Reporter, now: datetime) -> Judgement:
    try:
        request = _request(run)
        if request is None or not request.wants(state):
            return Nothing()
        return Report(event=_event(run, state, request, site=site, reported_by=reported_by, now=now))
    except ProtocolError as error:  # a malformed request, or ids so long that no event can hold them
        return Refuse(event=_refused(run, state, site=site, reported_by=reported_by), why=str(error))


def _request(run: Run) -> CallbackRequest | None:
    for name, value in run.conf.items() if isinstance(run.conf, Mapping) else ():
        if isinstance(value, OversizedRequest):
            raise CallbackRequestError(name, f"{value.size} bytes, which is more than any request has")
    return parse_callback_request(run.conf)


def _event(
    run: Run, state: RunState, request: CallbackRequest, *, site: Site, reported_by: Reporter, now: datetime
) -> OutboxEvent:
    end_date = None if state == "running" else run.end_date
    ending = Ending(
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=state,
        logical_date=run.logical_date,
        run_after=run.run_after,
        start_date=run.start_date,
        end_date=end_date,
        task_instances=None,
        result=Result(unavailable=state != "running"),
    )
    if state == "running" and run.start_date is not None:
        now = run.start_date  # when it happened
    event = event_of(ending, request, site=site, reported_by=reported_by, now=now)
    return OutboxEvent(
        event_id=event.id,
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=state,
        destination=request.destination,
        url=request.url,
        body=encode_event(event),
        reported_by=reported_by,
        ended_at=end_date.timestamp() if end_date is not None else None,
    )


def _refused(run: Run, state: RunState, *, site: Site, reported_by: Reporter) -> OutboxEvent:
    return OutboxEvent(
        event_id=event_id(
            source=site.source,
            dag_id=run.dag_id,
            run_id=run.run_id,
            start_date=run.start_date,
            state=state,
            callback_url="",
        ),
        dag_id=run.dag_id,
        run_id=run.run_id,
        state=state,
        destination="",
        url="",
        body=b"",
        reported_by=reported_by,
        ended_at=run.end_date.timestamp() if run.end_date is not None else None,
    )
