"""What every store promises about deadlines, checks, leases and turns that were given up."""
# ruff: noqa: F811 - fixtures are arguments

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest
from ringing import STARTED, URL, make_event
from test_store_contract import (  # noqa: F401 - fixtures
    adopt,
    claim,
    new_store,
    one_call,
    other,
    record,
    register,
    state_of,
    store,
    wanted,
)

from ringback_receiver._matching import Transition
from ringback_receiver._observer import Backlog
from ringback_receiver._store import Checked, Store

pytestmark = pytest.mark.anyio


async def test_request_is_kept_with_its_times(store: Store) -> None:
    """Deadline and next check are what was registered."""
    request = wanted(deadline=200.0, next_check=160.0)
    await register(store, request)
    assert (await store.look_up(["req_1"]))["req_1"].request == request


async def test_overdue_requests_expire_once(store: Store, other: Store) -> None:
    """The id of what is past its deadline is returned by the one look that finds it, the oldest deadline first."""
    for number, deadline in ((5, 129.0), (1, 120.0), (2, 110.0), (3, 130.1), (4, None)):
        await register(store, wanted(f"req_{number}", run_id=f"run_{number}", deadline=deadline))
    await store.cancel("req_3")
    assert await store.expire(now=109.9, limit=10) == []
    assert await store.expire(now=130.0, limit=1) == ["req_2"]
    assert await other.expire(now=130.0, limit=10) == ["req_1", "req_5"]
    first = (await store.look_up(["req_2"]))["req_2"]
    assert (first.request.state, first.settled, first.completion) == ("expired", True, None)
    assert await store.expire(now=1e9, limit=10) == []
    assert await state_of(store, "req_4") == "pending"


async def test_two_who_look_at_once_expire_each_request_once(store: Store, other: Store) -> None:
    """Between them they get every id, and none twice."""
    for number in range(20):
        await register(store, wanted(f"req_{number}", run_id=f"run_{number}", deadline=110.0))
    both = await asyncio.gather(*(each.expire(now=130.0, limit=20) for each in (store, other, store, other)))
    assert sorted(id for ids in both for id in ids) == sorted(f"req_{number}" for number in range(20))


async def test_look_that_finds_nothing_changes_nothing(store: Store) -> None:
    """Whoever polls for changes is not made to look at his requests every second."""
    await register(store, wanted(deadline=150.0))
    marker = await store.change_marker()
    assert await store.expire(now=149.0, limit=10) == []
    assert await store.change_marker() == marker


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize("before", ["pending", "abandoned"])
async def test_ending_after_the_deadline_is_late(store: Store, before: str, noticed: bool) -> None:
    """Whether or not somebody has noticed the deadline; it is marked so for handlers, and resolves nothing."""
    await register(store, wanted(deadline=150.0, metadata="mine"))
    if before == "abandoned":
        await store.abandon("req_1", reason="no")
    if noticed:
        await store.expire(now=150.0, limit=10)
    recorded = await record(store, make_event("req_1", "run_1"), at=150.0, handlers=("h",))
    assert recorded.transition is Transition.LATE
    assert recorded.tracked == (await store.look_up(["req_1"]))["req_1"]
    assert recorded.tracked is not None
    assert (recorded.tracked.request.state, recorded.tracked.completion) == ("expired", None)
    (call,) = await claim(store, now=300.0)
    assert (call.completion.late, call.completion.revision, call.completion.metadata) == (True, False, "mine")
    assert (await record(store, make_event("req_1", "run_1"), at=151.0)).transition is Transition.DUPLICATE


async def test_ending_before_the_deadline_resolves(store: Store) -> None:
    """The last moment counts, and what is resolved does not expire."""
    await register(store, wanted(deadline=150.0))
    assert (await record(store, make_event("req_1", "run_1"), at=149.999)).transition is Transition.RESOLVE
    assert await store.expire(now=1e9, limit=10) == []


async def test_start_after_the_deadline_is_progress(store: Store) -> None:
    """It is no ending, so no handler hears of it; the request has expired all the same."""
    await register(store, wanted(deadline=150.0))
    event = make_event("req_1", "run_1", state="running")
    assert (await record(store, event, at=151.0, handlers=("h",))).transition is Transition.PROGRESS
    assert await state_of(store) == "expired"
    assert await claim(store, now=300.0) == []


async def test_expired_request_is_not_adopted(store: Store) -> None:
    """Its place is free as soon as its deadline has passed, noticed or not."""
    await register(store, wanted("req_1", deadline=150.0))
    assert (await adopt(store, wanted("req_2", created_at=149.0))).request.request_id == "req_1"
    registered = await adopt(store, wanted("req_3", created_at=150.0))
    assert (registered.found, registered.request.request_id) == (None, "req_3")


async def test_resolved_request_is_adopted_whatever_its_deadline(store: Store) -> None:
    """It has its completion."""
    await register(store, wanted("req_1", deadline=150.0))
    await record(store, make_event("req_1", "run_1"), at=120.0)
    assert (await adopt(store, wanted("req_2", created_at=151.0))).found == "resolved"


async def test_due_checks_are_of_pending_requests_for_one_url(store: Store) -> None:
    """The longest due first; what is resolved, not due, never to be asked about or another receiver's is left out."""
    for number, due in ((1, 50.0), (2, 40.0), (3, 30.0), (4, 51.0), (5, None)):
        await register(store, wanted(f"req_{number}", run_id=f"run_{number}", next_check=due))
    await register(store, wanted("req_7", run_id="run_7", next_check=2.0, deadline=50.0))
    theirs = wanted("req_6", run_id="run_6", next_check=1.0)
    await register(store, msgspec.structs.replace(theirs, callback_url="https://other.example/"))
    await record(store, make_event("req_3", "run_3"))
    due = await store.due_checks(URL, now=50.0, limit=10)
    assert [request.request_id for request in due] == ["req_2", "req_1"]
    assert [request.request_id for request in await store.due_checks(URL, now=50.0, limit=1)] == ["req_2"]


async def test_check_is_noted(store: Store) -> None:
    """It is counted, comes again when it shall, and a run that was seen once is known to exist."""
    await register(store, wanted(next_check=50.0, metadata="mine"))
    for exists in (False, True, False):
        await store.note_checks([Checked(request_id="req_1", next_check=70.0, exists=exists)])
    assert await store.due_checks(URL, now=69.0, limit=10) == []
    (request,) = await store.due_checks(URL, now=70.0, limit=10)
    assert request.metadata is None
    assert (request.checks, request.confirmed, request.next_check) == (3, True, 70.0)


async def test_request_that_is_taken_up_again_counts_its_checks_anew(store: Store) -> None:
    """Whoever triggers again may be just making the run: what was not there before says nothing."""
    await register(store, wanted(next_check=50.0))
    await store.note_checks([Checked(request_id="req_1", next_check=60.0, exists=False)])
    await adopt(store, wanted("req_2"))
    (request,) = await store.due_checks(URL, now=70.0, limit=10)
    assert (request.request_id, request.checks) == ("req_1", 0)


async def test_confirmed_run_is_known_to_exist(store: Store) -> None:
    """Airflow has said so."""
    await register(store, wanted(next_check=50.0))
    await store.confirm("req_1")
    (request,) = await store.due_checks(URL, now=50.0, limit=10)
    assert (request.checks, request.confirmed) == (0, True)


async def test_lease_has_one_holder(store: Store, other: Store) -> None:
    """Of two who want it at once one gets it; the other does when it ends, and the first not before that ends."""
    took = await asyncio.gather(
        store.hold_lease("l", holder="a", now=0.0, until=10.0), other.hold_lease("l", holder="b", now=0.0, until=10.0)
    )
    assert sorted(took) == [False, True]
    first, second = ("a", "b") if took[0] else ("b", "a")
    assert await store.hold_lease("another", holder=second, now=0.0, until=10.0)
    assert await store.hold_lease("l", holder=first, now=5.0, until=20.0)
    assert not await other.hold_lease("l", holder=second, now=19.9, until=30.0)
    assert await other.hold_lease("l", holder=second, now=20.0, until=30.0)
    assert not await store.hold_lease("l", holder=first, now=29.0, until=40.0)


async def test_released_lease_is_free(store: Store) -> None:
    """But nobody can release another's."""
    await store.hold_lease("l", holder="a", now=0.0, until=10.0)
    await store.release_lease("l", holder="b")
    assert not await store.hold_lease("l", holder="b", now=1.0, until=10.0)
    await store.release_lease("l", holder="a")
    assert await store.hold_lease("l", holder="b", now=1.0, until=10.0)


async def test_given_up_turn_does_not_come_again_and_is_visible(store: Store) -> None:
    """It is among those that fail, and marked."""
    await one_call(store)
    (call,) = await claim(store, now=200.0)
    await store.give_up_call(call, at=201.0, error="GiveUp: no such customer")
    assert await claim(store, now=1e9) == []
    (failing,) = await store.failing_calls(limit=10)
    assert (failing.given_up_at, failing.error, failing.attempts) == (201.0, "GiveUp: no such customer", 1)


async def test_lost_lease_cannot_give_up(store: Store, other: Store) -> None:
    """Who was presumed dead has no say."""
    await one_call(store)
    (old,) = await claim(store, now=200.0)
    await claim(other, now=230.0)
    await store.give_up_call(old, at=231.0, error="too late")
    assert len(await claim(other, now=260.0)) == 1


async def failed(store: Store, *handlers: str) -> None:
    """Let these handlers of one event fail; those called ``gone…`` give up."""
    await one_call(store, *handlers)
    for call in await claim(store, now=200.0, names=handlers):
        if call.handler.startswith("gone"):
            await store.give_up_call(call, at=201.0, error="no")
        else:
            await store.retry_call(call, due=5_000.0, error="no")


async def test_failed_turns_can_be_retried(store: Store) -> None:
    """Those given up and those that would come later are due at once, their attempts counted on."""
    await failed(store, "gone", "slow")
    assert await store.retry_failed(now=300.0) == 2
    calls = await claim(store, now=300.0, names=("gone", "slow"))
    assert sorted((call.handler, call.attempts) for call in calls) == [("gone", 2), ("slow", 2)]
    for call in calls:
        await store.finish_call(call, at=301.0)
    assert await store.failing_calls(limit=10) == []
    assert await store.retry_failed(now=302.0) == 0


@pytest.mark.parametrize("by", ["request_id", "handler", "event_id"])
async def test_only_what_is_meant_is_retried(store: Store, by: str) -> None:
    """By request, by handler, by event."""
    await failed(store, "gone", "gone_too")
    event = make_event("req_1", "run_1")
    meant = {"request_id": "req_1", "handler": "gone", "event_id": event.id}
    assert await store.retry_failed(now=300.0, **{by: "something else"}) == 0
    assert await store.retry_failed(now=300.0, **{by: meant[by]}) == (1 if by == "handler" else 2)


async def test_turn_that_somebody_holds_is_not_retried(store: Store) -> None:
    """It would run twice at once; when the lease has ended it comes by itself."""
    await failed(store, "slow")
    await claim(store, now=5_000.0, names=("slow",))
    assert await store.retry_failed(now=5_001.0) == 0
    assert await claim(store, now=5_001.0, names=("slow",)) == []
    assert await store.retry_failed(now=5_030.0) == 1


async def test_work_of_a_turn_that_was_given_up_counts(store: Store) -> None:
    """What is done is done."""
    await one_call(store)
    (old,) = await claim(store, now=200.0)
    (new,) = await claim(store, now=230.0)
    await store.give_up_call(new, at=231.0, error="no")
    await store.finish_call(old, at=232.0)
    history = await store.history("req_1")
    assert history is not None
    assert [(turn.done_at, turn.given_up_at, turn.error) for turn in history.calls] == [(232.0, None, None)]
    assert await store.failing_calls(limit=10) == []
    assert await store.retry_failed(now=300.0) == 0


async def test_requests_are_listed_by_state(store: Store) -> None:
    """Those that wait oldest first, others newest first, no more than asked for."""
    for number in (3, 1, 2, 4, 5):
        await register(store, wanted(f"req_{number}", run_id=f"run_{number}", created_at=float(number)))
    for request_id in ("req_4", "req_5"):
        await store.cancel(request_id)
    pending = await store.list_requests(state="pending", limit=2)
    cancelled = await store.list_requests(state="cancelled", limit=10)
    assert [request.request_id for request in pending] == ["req_1", "req_2"]
    assert [request.request_id for request in cancelled] == ["req_5", "req_4"]
    assert pending[0] == (await store.look_up(["req_1"]))["req_1"].request


async def test_history_has_events_and_turns(store: Store) -> None:
    """All that came for a request, the oldest first, what it meant, and what the handlers made of it."""
    await register(store, wanted())
    first = make_event("req_1", "run_1")
    second = make_event("req_1", "run_1", start_date=STARTED + timedelta(hours=1))
    await record(store, first, at=200.0, handlers=("h",))
    await record(store, second, at=201.0, handlers=("h",))
    await record(store, make_event("req_2", "run_2"), at=202.0)
    (call, _) = await claim(store, now=202.0)
    await store.finish_call(call, at=203.0)
    history = await store.history("req_1")
    assert history is not None
    assert history.request.state == "resolved"
    assert [(event.event_id, event.transition, event.received_at) for event in history.events] == [
        (first.id, Transition.RESOLVE, 200.0),
        (second.id, Transition.REVISE, 201.0),
    ]
    assert [(turn.event_id, turn.done_at, turn.given_up_at) for turn in history.calls] == [
        (first.id, 203.0, None),
        (second.id, None, None),
    ]
    assert await store.history("req_unknown") is None


async def test_what_is_not_over_is_counted(store: Store, other: Store) -> None:
    """Requests by whether Airflow is to be asked, parked events, and handlers' turns; whoever made them."""
    assert await store.backlog(now=100.0, most=10) == Backlog()
    for number, (created, check) in enumerate([(90.0, 400.0), (110.0, 150.0), (120.0, None), (130.0, 140.0)]):
        await register(store, wanted(f"req_{number}", run_id=f"run_{number}", created_at=created, next_check=check))
    await record(store, make_event("req_0", "run_0"), handlers=("first", "second", "third"))
    await record(store, make_event("req_unknown", "run_9"))
    for call in await store.claim_calls(["first", "second", "third"], now=200.0, lease_until=230.0, limit=3):
        if call.handler == "first":
            await store.give_up_call(call, at=201.0, error="enough")
        elif call.handler == "second":
            await store.retry_call(call, due=300.0, error="not yet")
        else:
            await store.finish_call(call, at=201.0)
    expected = Backlog(pending=3, overdue=1, oldest=110.0, parked=1, calls=1, failing=2)
    assert await store.backlog(now=145.0, most=10) == await other.backlog(now=145.0, most=10) == expected
    capped = await store.backlog(now=1_000.0, most=1)
    assert (capped.pending, capped.overdue, capped.failing) == (1, 1, 1)


async def test_every_commit_is_told(store: Store) -> None:
    """With each event and what became of it, whether or not its sender still waits; then nothing is under way."""
    told: list[tuple[str, str]] = []
    store.on_recorded(lambda events: told.extend((event.id, recorded.transition.value) for event, recorded in events))
    events = [make_event(None, f"run_{number}") for number in range(20)]
    sending = [asyncio.create_task(record(store, event)) for event in events]
    await asyncio.sleep(0)
    sending[7].cancel()
    await asyncio.gather(*sending, return_exceptions=True)
    while store.recording:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert sorted(told) == sorted((event.id, "parked") for event in events)
