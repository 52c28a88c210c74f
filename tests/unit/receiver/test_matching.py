"""What an event means for a request."""

from __future__ import annotations

from datetime import datetime, timezone

import msgspec
import pytest

from ringback_protocol import CompletionData, CompletionEvent
from ringback_receiver._matching import REACHES_HANDLERS, STATUS, PendingRequest, Transition, as_of, match

URL = "https://portal.example/airflow/completions"
REQUEST = PendingRequest(request_id="req_1", dag_id="sales", run_id="run_1", callback_url=URL, created_at=0.0)
SETTLED = ["resolved", "cancelled", "abandoned", "expired"]


def ending(
    *,
    correlation_id: str | None = "req_1",
    dag_id: str = "sales",
    run_id: str = "run_1",
    state: str = "success",
    url: str = URL,
) -> CompletionEvent:
    data = msgspec.convert({"dag_id": dag_id, "run_id": run_id, "state": state, "reported_by": "task"}, CompletionData)
    return CompletionEvent.of(
        data,
        id="msg_1",
        source="https://airflow.example",
        audience=url,
        correlationid=correlation_id,
        time=datetime(2026, 7, 2, tzinfo=timezone.utc),
    )


def in_state(state: str) -> PendingRequest:
    return msgspec.structs.replace(REQUEST, state=state)


@pytest.mark.parametrize("correlation_id", ["req_1", None])
@pytest.mark.parametrize("state", ["success", "failed"])
def test_first_ending_resolves(state: str, correlation_id: str | None) -> None:
    """A pending request is resolved by either ending, with or without a correlation id."""
    event = ending(state=state, correlation_id=correlation_id)
    assert match(REQUEST, event, seen=False) is Transition.RESOLVE


def test_known_event_id_is_a_duplicate() -> None:
    """The same event again changes nothing."""
    assert match(in_state("resolved"), ending(), seen=True) is Transition.DUPLICATE


def test_known_event_without_a_request_is_a_duplicate() -> None:
    """A parked event that is sent again is not parked twice."""
    assert match(None, ending(), seen=True) is Transition.DUPLICATE


def test_event_without_a_request_is_parked() -> None:
    """An event that nobody has asked for yet waits for its request."""
    assert match(None, ending(), seen=False) is Transition.PARK


def test_another_ending_revises() -> None:
    """A second ending of the same run leaves the first one standing."""
    assert match(in_state("resolved"), ending(state="failed"), seen=False) is Transition.REVISE


@pytest.mark.parametrize("state", ["success", "failed"])
def test_ending_of_an_abandoned_request_resolves(state: str) -> None:
    """The run rings, so it exists, whatever Airflow seemed to say."""
    assert match(in_state("abandoned"), ending(state=state), seen=False) is Transition.RESOLVE


@pytest.mark.parametrize("state", ["failed", "success"])
def test_ending_of_an_expired_request_is_late(state: str) -> None:
    """Nobody waits for it any more."""
    assert match(in_state("expired"), ending(state=state), seen=False) is Transition.LATE


@pytest.mark.parametrize("request_state", ["pending", *SETTLED])
@pytest.mark.parametrize(
    "event",
    [
        ending(dag_id="other"),
        ending(run_id="other"),
        ending(url="https://other.example/"),
        ending(correlation_id="req_2"),
    ],
    ids=["dag", "run", "url", "correlation id"],
)
def test_event_about_something_else_conflicts(event: CompletionEvent, request_state: str) -> None:
    """A request is never touched by an event about another run or for another URL, whatever its state."""
    assert match(in_state(request_state), event, seen=False) is Transition.CONFLICT


def test_known_conflicting_event_is_a_duplicate() -> None:
    """A conflict is reported once."""
    assert match(REQUEST, ending(run_id="other"), seen=True) is Transition.DUPLICATE


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("state", ["running", "success"])
def test_cancelled_request_refuses_every_time(state: str, seen: bool) -> None:
    """The sender is told to stop, also when it repeats itself."""
    assert match(in_state("cancelled"), ending(state=state), seen=seen) is Transition.CANCELLED


@pytest.mark.parametrize("request_state", ["pending", "abandoned", "resolved"])
def test_start_never_resolves(request_state: str) -> None:
    """A started event is only progress."""
    assert match(in_state(request_state), ending(state="running"), seen=False) is Transition.PROGRESS


def test_every_transition_has_its_status() -> None:
    """The answers are those of the wire contract."""
    assert {transition.name: STATUS[transition] for transition in Transition} == {
        "RESOLVE": 204,
        "REVISE": 204,
        "PROGRESS": 204,
        "DUPLICATE": 204,
        "PARK": 202,
        "LATE": 204,
        "CONFLICT": 204,
        "CANCELLED": 410,
    }


def test_handlers_see_endings_of_requests_only() -> None:
    """What resolves or revises a request, or comes too late for it, reaches handlers, and nothing else does."""
    assert {Transition.RESOLVE, Transition.REVISE, Transition.LATE} == REACHES_HANDLERS


def test_start_of_an_expired_request_is_progress() -> None:
    """There is no ending in it that could be late."""
    assert match(in_state("expired"), ending(state="running"), seen=False) is Transition.PROGRESS


@pytest.mark.parametrize(
    ("state", "now", "then"),
    [
        ("pending", 9.999, "pending"),
        ("pending", 10.0, "expired"),
        ("abandoned", 10.0, "expired"),
        ("resolved", 10.0, "resolved"),
        ("cancelled", 10.0, "cancelled"),
    ],
)
def test_request_expires_at_its_deadline(state: str, now: float, then: str) -> None:
    """What is over already stays as it is."""
    request = msgspec.structs.replace(in_state(state), deadline=10.0)
    assert as_of(request, now).state == then


def test_request_without_a_deadline_never_expires() -> None:
    """It waits for ever."""
    assert as_of(REQUEST, 1e12) is REQUEST
