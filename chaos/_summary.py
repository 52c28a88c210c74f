"""What happened, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks._figures import spread
from chaos._evidence import Evidence, moment
from chaos._judge import Verdict

__all__ = ["described", "figures", "known_about"]


_LET_THROUGH = ("passed through", "answer dropped", "receiver killed")


def figures(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """Return the figures, ready for JSON."""
    by_ending: dict[str, Counter[str]] = {}
    for run in evidence.runs:
        now = evidence.now.get(run.run_id)
        by_ending.setdefault(run.ending, Counter())[now.state if now else "none"] += 1
    resolving = [event for events in evidence.events.values() for event in events if event.transition == "resolved"]
    revised = [event for events in evidence.events.values() for event in events if event.transition == "revised"]
    recorded = [request for request in evidence.wire if evidence.statuses.get(request.number, 500) < 300]
    told = {(event.run_id, event.state, event.start_date) for event in (*resolving, *revised)}
    wanted = {
        (run.run_id, state.state, state.start_date)
        for run in evidence.runs
        for state in evidence.history.get(run.run_id, ())
        if state.ended and state.state in run.wanted
    }
    unanswered = sum(
        request.fault in _LET_THROUGH and request.number not in evidence.statuses for request in evidence.wire
    )
    return {
        "runs": len(evidence.runs),
        "runs_by_ending": {name: dict(states) for name, states in sorted(by_ending.items())},
        "otherwise_than_meant": sum(bool(run.remark) for run in evidence.runs),
        "kills": dict(Counter(strike.part for strike in evidence.strikes).most_common()),
        "deaths": dict(evidence.deaths),
        "on_the_wire": dict(Counter(request.fault for request in evidence.wire).most_common()),
        "receiver_killed_in_mid_request": unanswered,
        "requests": len(evidence.wire),
        "events": len({request.event_id for request in evidence.wire}),
        "retries": len(evidence.wire) - len({request.event_id for request in evidence.wire}),
        "duplicates": len(recorded) - len({request.event_id for request in recorded}),
        "resolved": len(resolving),
        "resolved_by": dict(Counter(event.reported_by for event in resolving).most_common()),
        "revised": len(revised),
        "endings": len(wanted),
        "endings_told": len(wanted & told),
        "handler_calls": sum(evidence.handled.values()),
        "end_to_resolved_seconds": spread(_delays(evidence)),
        "foretold_then_made_another": len(verdict.overtaken),
        "unended": list(verdict.unended),
        "violations": len(verdict.violations),
    }


def _delays(evidence: Evidence) -> list[float]:
    """Return seconds from a run's end to its request's being resolved; a final task is ahead of the end."""
    delays = []
    for run_id, events in evidence.events.items():
        for event in events:
            ends = [
                state.end_date
                for state in evidence.history.get(run_id, ())
                if (state.state, state.start_date) == (event.state, event.start_date)
            ]
            if event.transition == "resolved" and ends and ends[0] is not None:
                delays.append(event.at - ends[0].timestamp())
    return delays


def described(found: dict[str, Any], evidence: Evidence) -> Iterator[str]:
    """Say the figures for people, line by line."""
    yield "Runs by ending, and their states in Airflow:"
    for name, states in found["runs_by_ending"].items():
        yield f"  {name:24} {sum(states.values()):4}   " + _listed(states)
    for run in evidence.runs:
        if run.remark:
            yield f"  otherwise than meant: {run.run_id} ({run.ending}, {run.dag_id}): {run.remark}"
    yield f"kill -9: {sum(found['kills'].values())}: {_listed(found['kills'])}"
    yield f"  ended by themselves or in mid-answer, and restarted: {_listed(found['deaths'])}"
    yield f"requests to the receiver: {found['requests']}: {_listed(found['on_the_wire'])}"
    yield f"  let through, but the receiver was killed before its answer: {found['receiver_killed_in_mid_request']}"
    yield f"  events {found['events']}, retries {found['retries']}, duplicates received {found['duplicates']}"
    yield f"resolved: {found['resolved']}, first told by: {_listed(found['resolved_by'])}; revised: {found['revised']}"
    yield f"  of {found['endings']} endings, {found['endings'] - found['endings_told']} gave way to another untold"
    yield f"  the handler ran {found['handler_calls']} times"
    delay = found["end_to_resolved_seconds"]
    yield (
        f"  from the end to resolved: median {delay['median']:.2f} s, quartiles {delay['low']:.2f} to "
        f"{delay['high']:.2f} s, longest {delay['most']:.1f} s"
    )
    if found["foretold_then_made_another"]:
        yield f"  foretold by the final task, then made another by hand: {found['foretold_then_made_another']}"
    if found["unended"]:
        yield f"  not brought to an end by Airflow: {', '.join(found['unended'])}"


def known_about(evidence: Evidence, run_id: str) -> Iterator[str]:
    """Say what is known about a run with which something is wrong."""
    for run in evidence.runs:
        if run.run_id == run_id:
            yield f"{run}"
            yield f"killed meanwhile: {[f'{strike.at:.1f} {strike.part}' for strike in evidence.strikes_during(run)]}"
    for state in evidence.history.get(run_id, ()):
        yield f"Airflow: {state.state}, started {state.start_date}, ended {state.end_date}"
    yield f"tasks: {dict(evidence.tasks.get(run_id, {}))}"
    for request in evidence.requests.get(run_id, ()):
        yield f"request: {request.request_id} {request.state} {request.event_id}"
    for event in evidence.events.get(run_id, ()):
        yield f"recorded: {event}"
    for sent in evidence.wire:
        if sent.run_id == run_id:
            status = evidence.statuses.get(sent.number)
            yield (
                f"wire: {sent.at:.2f} {sent.event_id} {sent.state} started {moment(sent.start_date)} "
                f"by {sent.reported_by}: {sent.fault}, {status}"
            )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
