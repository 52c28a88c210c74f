"""Compare what the caller was told with what Airflow has.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from chaos._endings import ENDINGS
from chaos._evidence import Evidence, Recorded, moment
from chaos._scene import PlayedRun

__all__ = ["Verdict", "Violation", "judge", "unreported"]

FINAL_TASK = "ringback_notify"

_FAILED = ("failed", "upstream_failed")
_OF_AIRFLOW = ("scheduler", "api-server", "postgresql")
_BELIEVED = ("resolved", "revised")
_OVER = ("success", "failed", "skipped", "upstream_failed", "removed")

Close = tuple[str, datetime | None]
"""What tells one ending of a run from another: its state, and when the run had started."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Something that must not be."""

    run_id: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The judgement.

    :param unended: runs that Airflow has not brought to an end, for no fault of ours.
    :param overtaken: runs whose final task had told of the end that was coming when somebody made it another.
    """

    violations: Sequence[Violation]
    unended: Sequence[str]
    overtaken: Sequence[str]


def judge(evidence: Evidence) -> Verdict:
    """Judge every run, and every request on the wire."""
    judged = [_Judged(run, evidence) for run in evidence.runs]
    violations = [
        Violation(run_id=each.run.run_id, what=what) for each in judged for what in dict.fromkeys(each.wrongs())
    ]
    ours = {run.run_id for run in evidence.runs}
    strangers = {request.run_id for request in evidence.wire} | evidence.events.keys()
    violations += [Violation(run_id=run_id, what="an event, but no such run") for run_id in sorted(strangers - ours)]
    return Verdict(
        violations=violations,
        unended=[each.run.run_id for each in judged if each.unended() and not each.held_up()],
        overtaken=[each.run.run_id for each in judged if any(each.overtaken(event) for event in each.events)],
    )


def unreported(evidence: Evidence) -> list[str]:
    """Return the runs whose final ending the caller still has to hear of."""
    return [run.run_id for run in evidence.runs if not _Judged(run, evidence).is_told()]


class _Judged:
    """One run, seen from both sides."""

    def __init__(self, run: PlayedRun, evidence: Evidence) -> None:
        self.run = run
        self.ending = ENDINGS[run.ending]
        self.now = evidence.now.get(run.run_id)
        self.closes: list[Close] = [
            (state.state, state.start_date) for state in evidence.history.get(run.run_id, ()) if state.ended
        ]
        self.tasks = evidence.tasks.get(run.run_id, {})
        self.requests = evidence.requests.get(run.run_id, ())
        self.events = evidence.events.get(run.run_id, ())
        self.wire = [request for request in evidence.wire if request.run_id == run.run_id]
        self.statuses = evidence.statuses
        self.handled = evidence.handled
        self.disturbed = any(strike.part in _OF_AIRFLOW for strike in evidence.strikes_during(run))

    def wrongs(self) -> Iterator[str]:
        """Say all that must not be."""
        if not self.run.wanted or self.ending.gone:
            if self.wire or self.events:
                yield "an event about a run that was deleted, or for which nobody asked"
            return
        if self.now is None and not self.run.remark:
            yield "it was triggered, and Airflow has no such run"
        yield from self._untold()
        for event in self.events:
            yield from self._unbelievable(event)
        yield from self._on_the_wire()
        yield from self._state()

    def is_told(self) -> bool:
        """Tell whether the caller knows the run's final ending, or need not."""
        if self.now is None or not self.now.ended or self.ending.gone or self.now.state not in self.run.wanted:
            return True
        return any(self._is(event, (self.now.state, self.now.start_date)) for event in self.events)

    def unended(self) -> bool:
        """Tell whether Airflow has not brought it to an end."""
        return self.now is not None and not self.now.ended

    def held_up(self) -> bool:
        """Tell whether that is for our final task alone."""
        unfinished = {task_id for task_id, state in self.tasks.items() if state not in _OVER}
        return self.unended() and unfinished == {FINAL_TASK}

    def overtaken(self, event: Recorded) -> bool:
        """Tell whether the final task foretold an end that an operator then made another."""
        foretold = event.reported_by == "task" and (event.state, event.start_date) not in self.closes
        return foretold and bool(self.run.marks or self.run.cleared)

    def _untold(self) -> Iterator[str]:
        if not self.is_told():
            assert self.now is not None
            yield f"it ended as {self.now.state} (started {self.now.start_date}), and the caller was not told"
        resolving = [event for event in self.events if event.transition == "resolved"]
        wanted = any(state in self.run.wanted for state, _ in self.closes)
        for request in self.requests:
            if request.state == "resolved":
                if [event.event_id for event in resolving] != [request.event_id]:
                    yield f"its request was resolved by {[event.event_id for event in resolving]}, not once"
            elif wanted and self.now is not None and self.now.ended:
                yield f"its request is {request.state}"
            elif resolving:
                yield f"its request is {request.state}, though an event resolved it"
        if len(self.requests) > 1:
            yield f"there are {len(self.requests)} requests for it"

    def _unbelievable(self, event: Recorded) -> Iterator[str]:
        if (event.state, event.start_date) not in self.closes and not self.overtaken(event):
            yield f"{event.event_id} by {event.reported_by} tells of {event.state}, which it never was: {self.closes}"
        if event.state not in self.run.wanted:
            yield f"{event.event_id} tells of {event.state}, which nobody wanted"
        if event.transition not in _BELIEVED:
            yield f"{event.event_id} was taken as {event.transition}"
        elif not self.handled.get(event.event_id):
            yield f"{event.event_id} did not reach the caller's handler"

    def _on_the_wire(self) -> Iterator[str]:
        ids = defaultdict(set)
        recorded = {event.event_id for event in self.events}
        for request in self.wire:
            ids[request.state, moment(request.start_date)].add(request.event_id)
            status = self.statuses.get(request.number)
            if status is None:
                continue
            if 400 <= status < 500:
                yield f"{request.event_id} by {request.reported_by} was refused with {status}"
            if status < 300 and request.event_id not in recorded:
                yield f"{request.event_id} was answered {status} and is not in the store"
        for close, several in ids.items():
            if len(several) > 1:
                yield f"the ending {close} went out under {len(several)} ids"

    def _state(self) -> Iterator[str]:
        if self.held_up():
            yield "it has not ended, for our final task alone"
        if self.now is None or not self.now.ended or self.run.marks:
            return  # after a mark it is what the operator says
        others_failed = any(state in _FAILED for task_id, state in self.tasks.items() if task_id != FINAL_TASK)
        if self.now.state == "success" and others_failed:
            yield "it ended as success though a task failed"
        if self.run.remark or self.now.state in self.ending.states:
            return
        if self.now.state == "failed" and others_failed:
            return  # a task was killed with its scheduler, or its API server was away for too long
        if self.now.state == "success" and self.disturbed:
            return  # a task whose scheduler died as well may be run once more
        yield f"it ended as {self.now.state}, its tasks as {dict(self.tasks)}"

    @staticmethod
    def _is(event: Recorded, close: Close) -> bool:
        return event.transition in _BELIEVED and (event.state, event.start_date) == close
