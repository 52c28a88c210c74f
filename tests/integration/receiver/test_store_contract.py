"""What every store promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ringing import STARTED, URL, make_event

from ringback_protocol import CompletionEvent, encode_event
from ringback_receiver._matching import PendingRequest, Transition
from ringback_receiver._store import Recorded, Registered, Store
from ringback_receiver._store_url import store_from_url
from ringback_receiver.errors import StoreError
from ringback_receiver.testing import MemoryStore

pytestmark = pytest.mark.anyio

INCOMPRESSIBLE = random.Random(1).randbytes(1_900).hex()
"""Longer than what an index of PostgreSQL's takes."""
RERUN = STARTED + timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Return a way to connect to one and the same store, as each process does."""
    if request.param == "memory":
        memory = MemoryStore()
        return lambda: MemoryStore(memory)
    if request.param == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        return lambda: store_from_url(url)
    return lambda: store_from_url(f"sqlite:///{tmp_path}/ringback.db")


@pytest.fixture
async def store(new_store: Callable[[], Store]) -> AsyncIterator[Store]:
    store = new_store()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(new_store: Callable[[], Store], store: Store) -> AsyncIterator[Store]:
    """The same store, as another process sees it."""
    other = new_store()
    await other.open()
    yield other
    await other.close()


def wanted(request_id: str = "req_1", *, run_id: str = "run_1", **changes: Any) -> PendingRequest:
    return PendingRequest(
        request_id=request_id,
        dag_id="sales",
        run_id=run_id,
        callback_url=URL,
        **{"created_at": 100.0, **changes},
    )


async def register(store: Store, request: PendingRequest, handlers: tuple[str, ...] = ()) -> None:
    await store.register(request, handlers=handlers)


async def record(
    store: Store, event: CompletionEvent, *, at: float = 200.0, handlers: tuple[str, ...] = ()
) -> Recorded:
    return await store.record(event, encode_event(event), received_at=at, handlers=handlers)


async def state_of(store: Store, request_id: str = "req_1") -> str:
    return (await store.look_up([request_id]))[request_id].request.state


async def test_request_is_kept_as_registered(store: Store) -> None:
    """What is looked up is what was registered, metadata included."""
    request = wanted(metadata={"customer": 7, "tags": ["a", None, 1.5]})
    await register(store, request)
    found = await store.look_up(["req_1", "req_unknown"])
    assert {name: tracked.request for name, tracked in found.items()} == {"req_1": request}
    assert found["req_1"].completion is None
    assert not found["req_1"].settled


async def test_event_resolves_its_request(store: Store) -> None:
    """The transition and the completion are returned, and stored."""
    await register(store, wanted(metadata=["mine"]))
    event = make_event("req_1", "run_1", result={"rows": 3})
    recorded = await record(store, event)
    assert recorded.transition is Transition.RESOLVE
    assert recorded.tracked is not None
    assert recorded.tracked.completion is not None
    assert recorded.tracked.completion.result == {"rows": 3}
    assert recorded.tracked.completion.metadata == ["mine"]
    assert recorded.tracked == (await store.look_up(["req_1"]))["req_1"]
    assert recorded.tracked.request.event_id == event.id


async def test_event_without_correlation_id_resolves_by_run(store: Store) -> None:
    """DAG id and run id are enough for an event that has nothing else."""
    await register(store, wanted())
    assert (await record(store, make_event(None, "run_1"))).transition is Transition.RESOLVE


async def test_pending_request_of_a_run_comes_before_others(store: Store) -> None:
    """A run id that was asked for before, in vain, belongs to the request that still waits."""
    await register(store, wanted("req_1", created_at=1.0))
    await register(store, wanted("req_2", created_at=2.0))
    await store.abandon("req_2", reason="no")
    recorded = await record(store, make_event(None, "run_1"))
    assert recorded.tracked is not None
    assert (recorded.transition, recorded.tracked.request.request_id) == (Transition.RESOLVE, "req_1")


async def test_unknown_correlation_id_never_falls_back_to_the_run(store: Store) -> None:
    """An event that names another request is not ours, though the run is."""
    await register(store, wanted())
    assert (await record(store, make_event("req_other", "run_1"))).transition is Transition.PARK
    assert await state_of(store) == "pending"


async def test_same_event_again_is_a_duplicate(store: Store) -> None:
    """An event id happens once."""
    await register(store, wanted())
    event = make_event("req_1", "run_1")
    await record(store, event)
    assert (await record(store, event)).transition is Transition.DUPLICATE


async def test_racing_repetitions_resolve_once(store: Store, other: Store) -> None:
    """However many deliver the same event at the same time, one resolves."""
    await register(store, wanted())
    event = make_event("req_1", "run_1")
    outcomes = await asyncio.gather(*(record(where, event) for where in (store, other) * 20))
    transitions = [recorded.transition for recorded in outcomes]
    assert sorted(transitions) == [Transition.DUPLICATE] * 39 + [Transition.RESOLVE]


async def test_racing_endings_resolve_once(store: Store, other: Store) -> None:
    """Of different endings of one run the first resolves, and the others revise."""
    await register(store, wanted())
    endings = [make_event("req_1", "run_1", start_date=STARTED + timedelta(hours=hour)) for hour in range(10)]
    outcomes = await asyncio.gather(
        *(record(where, ending) for where, ending in zip((store, other) * 5, endings, strict=True))
    )
    transitions = [recorded.transition for recorded in outcomes]
    assert sorted(transitions) == [Transition.RESOLVE] + [Transition.REVISE] * 9


async def test_revision_leaves_the_completion(store: Store) -> None:
    """What was awaited stays what it was."""
    await register(store, wanted())
    first = await record(store, make_event("req_1", "run_1"))
    second = await record(store, make_event("req_1", "run_1", state="failed", start_date=RERUN))
    assert second.transition is Transition.REVISE
    assert (await store.look_up(["req_1"]))["req_1"] == first.tracked


async def test_early_event_resolves_at_registration(store: Store) -> None:
    """An event that came first waits for its request."""
    parked = await record(store, make_event("req_1", "run_1"), handlers=("h",))
    assert (parked.transition, parked.tracked) == (Transition.PARK, None)
    await register(store, wanted(), ("h",))
    tracked = (await store.look_up(["req_1"]))["req_1"]
    assert tracked.request.state == "resolved"
    assert tracked.completion is not None
    assert [call.handler for call in await claim(store, now=300.0)] == ["h"]


async def test_early_events_resolve_and_revise_in_order(store: Store) -> None:
    """Of two endings that came too early, the first to arrive is the completion."""
    late, early = make_event("req_1", "run_1", start_date=RERUN), make_event(None, "run_1", state="failed")
    await record(store, late, at=2.0)
    await record(store, early, at=1.0)
    await register(store, wanted(), ("h",))
    tracked = (await store.look_up(["req_1"]))["req_1"]
    assert tracked.completion is not None
    assert tracked.completion.event_id == early.id
    calls = await claim(store, now=300.0)
    assert {call.completion.event_id: call.completion.revision for call in calls} == {
        early.id: False,
        late.id: True,
    }


async def test_early_start_does_not_resolve(store: Store) -> None:
    """A parked started event is progress once its request is there."""
    await record(store, make_event("req_1", "run_1", state="running"))
    await register(store, wanted())
    assert await state_of(store) == "pending"


async def test_cancelled_request_stays_cancelled(store: Store) -> None:
    """Its event is recorded and refused, and never becomes its completion."""
    await register(store, wanted())
    cancelled = await store.cancel("req_1")
    assert cancelled is not None
    assert cancelled.settled
    event = make_event("req_1", "run_1")
    assert (await record(store, event)).transition is Transition.CANCELLED
    assert (await record(store, event)).transition is Transition.CANCELLED
    assert await state_of(store) == "cancelled"


async def test_resolved_request_cannot_be_cancelled_or_abandoned(store: Store) -> None:
    """The first to come wins."""
    await register(store, wanted())
    await record(store, make_event("req_1", "run_1"))
    for tracked in (await store.cancel("req_1"), await store.abandon("req_1", reason="no")):
        assert tracked is not None
        assert (tracked.request.state, tracked.request.reason) == ("resolved", None)


async def test_abandoned_request_says_why(store: Store) -> None:
    """The reason is kept."""
    await register(store, wanted())
    tracked = await store.abandon("req_1", reason="DagNotFound: sales")
    assert tracked is not None
    assert (tracked.request.state, tracked.request.reason) == ("abandoned", "DagNotFound: sales")


async def test_event_resolves_its_abandoned_request(store: Store) -> None:
    """Its run exists after all: the completion is there, and handlers have their turns."""
    await register(store, wanted())
    await store.abandon("req_1", reason="no")
    event = make_event("req_1", "run_1")
    recorded = await record(store, event, handlers=("h",))
    assert recorded.transition is Transition.RESOLVE
    assert recorded.tracked is not None
    assert recorded.tracked.completion is not None
    assert (recorded.tracked.request.state, recorded.tracked.request.reason) == ("resolved", None)
    assert recorded.tracked == (await store.look_up(["req_1"]))["req_1"]
    assert [call.completion.event_id for call in await claim(store, now=300.0)] == [event.id]


async def test_start_makes_an_abandoned_request_pending(store: Store) -> None:
    """Its run exists after all, and its end can be waited for."""
    await register(store, wanted())
    await store.abandon("req_1", reason="no")
    recorded = await record(store, make_event("req_1", "run_1", state="running"))
    assert recorded.transition is Transition.PROGRESS
    assert recorded.tracked is not None
    assert (recorded.tracked.request.state, recorded.tracked.request.reason) == ("pending", None)
    assert recorded.tracked == (await store.look_up(["req_1"]))["req_1"]


async def adopt(store: Store, request: PendingRequest) -> Registered:
    return await store.register(request, handlers=(), adopt=True)


@pytest.mark.parametrize(
    ("found", "state"), [("pending", "pending"), ("abandoned", "pending"), ("resolved", "resolved")]
)
async def test_earlier_request_for_a_run_is_adopted(store: Store, found: str, state: str) -> None:
    """It is the same request, with its metadata; one that was abandoned is pending again."""
    await register(store, wanted("req_1", metadata="first"))
    if found == "abandoned":
        await store.abandon("req_1", reason="no")
    elif found == "resolved":
        await record(store, make_event("req_1", "run_1"))
    registered = await adopt(store, wanted("req_2", metadata="second"))
    assert (registered.found, registered.request.request_id) == (found, "req_1")
    assert (registered.request.metadata, registered.request.triggers) == ("first", 2)
    assert (registered.request.state, registered.request.reason) == (state, None)
    assert registered.request == (await store.look_up(["req_1", "req_2"])).popitem()[1].request


@pytest.mark.parametrize("what", ["cancelled", "other run", "other DAG", "other URL", "none"])
async def test_request_for_something_else_is_not_adopted(store: Store, what: str) -> None:
    """What was cancelled is over, and another run is another run."""
    if what == "cancelled":
        await register(store, wanted("req_1"))
        await store.cancel("req_1")
    elif what != "none":
        changes = {"other run": {"run_id": "run_2"}, "other DAG": {"dag_id": "x"}, "other URL": {"callback_url": "x"}}
        await register(store, msgspec.structs.replace(wanted("req_1"), **changes[what]))
    request = wanted("req_2", metadata="mine")
    assert await adopt(store, request) == Registered(request=request, found=None)
    assert (await store.look_up(["req_2"]))["req_2"].request == request


async def test_new_request_that_might_adopt_still_finds_its_early_event(store: Store) -> None:
    """What is registered is returned as it is after that."""
    await record(store, make_event(None, "run_1"))
    registered = await adopt(store, wanted("req_1"))
    assert (registered.found, registered.request.state) == (None, "resolved")


async def test_racing_registrations_share_one_request(store: Store, other: Store) -> None:
    """However many ask for one run at the same time, one request is kept."""
    outcomes = await asyncio.gather(*(adopt((store, other)[n % 2], wanted(f"req_{n}")) for n in range(20)))
    assert len({registered.request.request_id for registered in outcomes}) == 1
    assert [registered.found for registered in outcomes].count(None) == 1
    assert sorted(registered.request.triggers for registered in outcomes) == list(range(1, 21))


async def test_request_that_was_asked_for_again_is_not_abandoned(store: Store) -> None:
    """Who failed has no say about the run that a later trigger may have created."""
    await register(store, wanted("req_1"))
    again = (await adopt(store, wanted("req_2"))).request
    tracked = await store.abandon("req_1", reason="no")
    assert tracked is not None
    assert tracked.request.state == "pending"
    tracked = await store.abandon("req_1", reason="no", triggers=again.triggers)
    assert tracked is not None
    assert tracked.request.state == "abandoned"


async def test_unknown_request_cannot_be_cancelled(store: Store) -> None:
    """There is nothing to return."""
    assert await store.cancel("req_unknown") is None


async def test_failing_operation_fails_alone(store: Store) -> None:
    """What shares its commit is committed, and nothing of it stays."""
    await register(store, wanted("req_1"))
    outcomes = await asyncio.gather(
        record(store, make_event("req_1", "run_1")),
        register(store, wanted("req_1")),
        register(store, wanted("req_2", run_id="run_2", metadata={"not": {1, 2, object()}})),
        register(store, wanted("req_3", run_id="run_3")),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], Recorded)
    assert isinstance(outcomes[1], StoreError)
    assert isinstance(outcomes[2], TypeError)
    assert outcomes[3] is None
    assert await state_of(store) == "resolved"
    assert set(await store.look_up(["req_1", "req_2", "req_3"])) == {"req_1", "req_3"}


async def test_cancelled_caller_does_not_stop_the_store(new_store: Callable[[], Store], store: Store) -> None:
    """An operation whose caller went away takes place all the same, at the latest before the store is closed."""
    tasks = [
        asyncio.create_task(register(store, wanted())),
        asyncio.create_task(record(store, make_event("req_2", "run_2"))),
    ]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await register(store, wanted("req_3", run_id="run_3"))
    await store.close()
    again = new_store()
    await again.open()
    found = await again.look_up(["req_1", "req_3"])
    repeated = await record(again, make_event("req_2", "run_2"))
    await again.close()
    assert set(found) == {"req_1", "req_3"}
    assert repeated.transition is Transition.DUPLICATE


async def test_other_process_sees_what_is_committed(store: Store, other: Store) -> None:
    """Two processes share one store."""
    await register(store, wanted())
    await record(other, make_event("req_1", "run_1"))
    assert await state_of(store) == "resolved"


async def test_change_marker_tells_of_changes(store: Store, other: Store) -> None:
    """It differs after a change here or elsewhere, and stays while nothing happens."""
    still = await store.change_marker()
    assert await store.change_marker() == still
    await register(store, wanted("req_1"))
    changed_here = await store.change_marker()
    await register(other, wanted("req_2", run_id="run_2"))
    changed_elsewhere = await store.change_marker()
    assert len({still, changed_here, changed_elsewhere}) == 3


async def test_settled_requests_are_told_from_pending_ones(store: Store) -> None:
    """One query for all who wait brings those alone for whom waiting is over."""
    for number in range(4):
        await register(store, wanted(f"req_{number}", run_id=f"run_{number}"))
    resolved = await record(store, make_event("req_0", "run_0"))
    await store.cancel("req_1")
    await store.abandon("req_2", reason="no")
    settled = await store.settled([f"req_{number}" for number in range(5)])
    assert set(settled) == {"req_0", "req_1", "req_2"}
    assert settled["req_0"] == resolved.tracked


async def test_different_endings_at_once_keep_their_order(store: Store) -> None:
    """Whatever shares a commit, of several endings that come one after another the first resolves."""
    await register(store, wanted())
    endings = [make_event("req_1", "run_1", start_date=STARTED + timedelta(hours=hour)) for hour in range(5)]
    outcomes = await asyncio.gather(*(record(store, ending) for ending in (*endings, endings[0])))
    assert [recorded.transition for recorded in outcomes] == [
        Transition.RESOLVE,
        *[Transition.REVISE] * 4,
        Transition.DUPLICATE,
    ]
    assert outcomes[0].tracked == outcomes[-1].tracked == (await store.look_up(["req_1"]))["req_1"]


async def test_racing_event_and_registration_find_each_other(store: Store, other: Store) -> None:
    """Whichever is first, an event is never parked beside its request."""
    for number in range(40):
        name, run_id = f"req_{number}", f"run_{number}"
        event = make_event(name if number % 2 else None, run_id)
        await asyncio.gather(record(other, event), register(store, wanted(name, run_id=run_id)))
        assert await state_of(store, name) == "resolved"


@pytest.mark.parametrize("odd", ["\0", "sales\0\0", "", "'; --", "\u2028", INCOMPRESSIBLE, "\U0001f4de" * 1_000])
async def test_odd_texts_are_recorded_once(store: Store, odd: str) -> None:
    """Whoever signs may name his run as he likes: the event is kept, and known again."""
    for event in (make_event(None, odd, dag_id=odd), make_event(odd, "run_1"), make_event("req_1", odd)):
        assert (await record(store, event)).transition is Transition.PARK
        assert (await record(store, event)).transition is Transition.DUPLICATE


async def test_odd_errors_and_metadata_are_kept(store: Store) -> None:
    """What a handler says when it fails may be anything, and so may metadata."""
    metadata = ["\0", {"\0": "\u2028"}]
    await register(store, wanted(metadata=metadata))
    assert (await store.look_up(["req_1"]))["req_1"].request.metadata == metadata
    await record(store, make_event("req_1", "run_1"), handlers=("h",))
    (call,) = await claim(store, now=200.0)
    await store.retry_call(call, due=210.0, error="ValueError: \0 is no number")
    (failing,) = await store.failing_calls(limit=10)
    assert "is no number" in failing.error
    tracked = await store.abandon("req_1", reason="\0")
    assert tracked is not None


async def claim(store: Store, *, now: float, lease: float = 30.0, names: tuple[str, ...] = ("h",)) -> Any:
    return await store.claim_calls(names, now=now, lease_until=now + lease, limit=10)


async def one_call(store: Store, *handlers: str) -> None:
    await register(store, wanted(metadata="mine"))
    await record(store, make_event("req_1", "run_1"), handlers=handlers or ("h",))


async def test_turn_is_claimed_once_until_its_lease_ends(store: Store, other: Store) -> None:
    """While one process runs a handler no other does; once its lease ends another takes over."""
    await one_call(store)
    (call,) = await claim(store, now=200.0)
    assert (call.handler, call.attempts, call.completion.metadata) == ("h", 1, "mine")
    assert await claim(other, now=229.0) == []
    (again,) = await claim(other, now=230.0)
    assert again.attempts == 2


async def test_turn_is_not_due_before_its_event(store: Store) -> None:
    """It is due when the event was received."""
    await one_call(store)
    assert await claim(store, now=199.0) == []


async def test_renewed_lease_lasts(store: Store, other: Store) -> None:
    """Whoever is alive keeps his turn."""
    await one_call(store)
    calls = await claim(store, now=200.0)
    await store.renew_calls(calls, lease_until=260.0)
    assert await claim(other, now=259.0) == []


async def test_finished_turn_is_done(store: Store) -> None:
    """It never comes again."""
    await one_call(store)
    (call,) = await claim(store, now=200.0)
    await store.finish_call(call, at=201.0)
    assert await claim(store, now=1e9) == []


async def test_failed_turn_comes_again_and_is_visible(store: Store) -> None:
    """The error and the next attempt can be read until it is done."""
    await one_call(store)
    (call,) = await claim(store, now=200.0)
    await store.retry_call(call, due=210.0, error="ValueError: no")
    (failing,) = await store.failing_calls(limit=10)
    assert (failing.handler, failing.event_id) == ("h", call.completion.event_id)
    assert (failing.request_id, failing.attempts, failing.due) == ("req_1", 1, 210.0)
    assert failing.error == "ValueError: no"
    assert await claim(store, now=209.0) == []
    (again,) = await claim(store, now=210.0)
    await store.finish_call(again, at=211.0)
    assert await store.failing_calls(limit=10) == []


async def test_lost_lease_has_no_say(store: Store, other: Store) -> None:
    """Who was presumed dead can neither put back nor prolong what another has claimed."""
    await one_call(store)
    (old,) = await claim(store, now=200.0)
    await claim(other, now=230.0)
    await store.retry_call(old, due=0.0, error="too late")
    await store.renew_calls([old], lease_until=0.0)
    assert await claim(store, now=231.0) == []


async def test_only_known_handlers_are_claimed(store: Store) -> None:
    """A turn of a handler that this process does not have waits for one that does."""
    await one_call(store, "mine", "theirs")
    assert [call.handler for call in await claim(store, now=200.0, names=("mine",))] == ["mine"]
    assert [call.handler for call in await claim(store, now=200.0, names=("theirs",))] == ["theirs"]


async def test_revision_is_marked_for_handlers(store: Store) -> None:
    """A handler can tell a second ending from the first."""
    await one_call(store)
    await record(store, make_event("req_1", "run_1", state="failed", start_date=RERUN), handlers=("h",))
    calls = await claim(store, now=200.0)
    assert sorted((call.completion.state, call.completion.revision) for call in calls) == [
        ("failed", True),
        ("success", False),
    ]


@pytest.mark.parametrize("what", ["duplicate", "conflict", "cancelled", "start"])
async def test_other_events_give_no_turn(store: Store, what: str) -> None:
    """Handlers hear of endings of requests, each once."""
    await register(store, wanted())
    if what == "duplicate":
        await record(store, make_event("req_1", "run_1"))
        await record(store, make_event("req_1", "run_1"), handlers=("h",))
    elif what == "conflict":
        await record(store, make_event("req_1", "run_2"), handlers=("h",))
    elif what == "cancelled":
        await store.cancel("req_1")
        await record(store, make_event("req_1", "run_1"), handlers=("h",))
    else:
        await record(store, make_event("req_1", "run_1", state="running"), handlers=("h",))
    assert await claim(store, now=300.0) == []


async def test_everything_survives_closing(new_store: Callable[[], Store]) -> None:
    """A store opened again is as it was left."""
    store = new_store()
    await store.open()
    await one_call(store)
    await store.close()
    store = new_store()
    await store.open()
    assert await state_of(store) == "resolved"
    assert len(await claim(store, now=200.0)) == 1
    await store.close()


async def test_closed_store_says_so(new_store: Callable[[], Store]) -> None:
    """Using it is an error of ours, not a hang."""
    store = new_store()
    await store.open()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await register(store, wanted())
    await store.close()
