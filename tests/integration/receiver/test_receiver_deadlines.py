"""Deadlines and cancelling, for whoever waits, here or in another process, and for whoever handles."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ringing import URL, FakeAirflow, Line, make_event, signed, until

from ringback_protocol import PrivateKey
from ringback_receiver import Completion, CompletionTimeout, Receiver, RequestCancelled, RequestExpired
from ringback_receiver._deadlines import Deadlines
from ringback_receiver._matching import PendingRequest
from ringback_receiver._sqlite import SqliteStore
from ringback_receiver._waiters import Waiters

pytestmark = pytest.mark.anyio


async def test_every_waiter_is_told_when_the_deadline_passes(opened: Receiver) -> None:
    """Several wait, one of them on a handle of its own; each gets a CompletionTimeout that says it is over."""
    run = await opened.trigger("sales", deadline=0.3)
    again = await opened.request(run.request_id)
    waiting = [asyncio.create_task(handle.completion(timeout=10)) for handle in (run, run, again)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RequestExpired] * 3
    with pytest.raises(CompletionTimeout, match=f"{run.request_id} for 'sales' has expired"):
        await run.completion(timeout=0)


async def test_waiter_here_is_told_without_the_poll(tmp_path: Path) -> None:
    """Whoever notes that a request has expired wakes who waits for it."""
    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    request = PendingRequest(
        request_id="req_1", dag_id="sales", run_id="run_1", callback_url=URL, created_at=0.0, deadline=10.0
    )
    await store.register(request, handlers=[])
    waiters = Waiters(store, poll_interval=3600)
    waiting = await waiters.wait("req_1", timeout=5)
    assert await Deadlines(store, waiters, lambda: 9.9).look() > 0
    assert not waiting.done()
    await Deadlines(store, waiters, lambda: 10.0).look()
    assert (await waiting).request.state == "expired"
    await waiters.close()
    await store.close()


async def test_waiter_in_another_process_is_told_of_the_deadline(
    opened: Receiver, tmp_path: Path, key: PrivateKey
) -> None:
    """The one process triggers and is gone, the other waits by the request id."""
    async with Receiver(URL, str(key.public()), FakeAirflow(), f"sqlite:///{tmp_path}/ringback.db") as first:
        request_id = (await first.trigger("sales", deadline=0.3)).request_id
    with pytest.raises(RequestExpired):
        await (await opened.request(request_id)).completion(timeout=10)


async def test_deadline_that_passed_while_nobody_was_there_has_passed(tmp_path: Path, key: PrivateKey) -> None:
    """After a restart the first look finds it."""
    receiver = Receiver(URL, str(key.public()), FakeAirflow(), f"sqlite:///{tmp_path}/ringback.db")
    async with receiver:
        request_id = (await receiver.trigger("sales", deadline=0.1)).request_id
    await asyncio.sleep(0.15)
    async with receiver:
        with pytest.raises(RequestExpired):
            await (await receiver.request(request_id)).completion(timeout=10)


async def test_late_ending_reaches_handlers_marked(line: Line) -> None:
    """It is recorded, answered as taken, told to handlers as late, and gives no completion."""
    handled: list[Completion] = []

    @line.receiver.on_completion("sales")
    def note(completion: Completion) -> None:
        handled.append(completion)

    run = await line.trigger(deadline=0.1, metadata={"order": 7})
    await asyncio.sleep(0.15)
    assert (await line.deliver(make_event(run.request_id, run.run_id)))[0] == 204
    await until(lambda: bool(handled))
    (completion,) = handled
    assert (completion.late, completion.revision, completion.metadata) == (True, False, {"order": 7})
    with pytest.raises(RequestExpired):
        await run.completion(timeout=0)


async def test_ending_in_time_is_the_completion(opened: Receiver, key: PrivateKey) -> None:
    """A deadline does nothing to what is resolved."""
    run = await opened.trigger("sales", deadline=1.0)
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    await asyncio.sleep(2.1)
    completion = await run.completion(timeout=0)
    assert (completion.succeeded, completion.late) == (True, False)


async def test_impossible_deadline_reaches_nobody(opened: Receiver, airflow: FakeAirflow) -> None:
    """It fails before anything is stored or sent."""
    with pytest.raises(ValueError, match="deadline"):
        await opened.trigger("sales", deadline=-1)
    assert airflow.triggers == []


async def test_cancelling_tells_every_waiter_and_the_sender(opened: Receiver, tmp_path: Path, key: PrivateKey) -> None:
    """Also those in another process; a later event is answered 410, and no handler hears of it."""
    handled: list[Completion] = []
    opened.on_completion(handled.append, name="note")
    run = await opened.trigger("sales")
    async with Receiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/ringback.db") as other:
        elsewhere = await other.request(run.request_id)
        waiting = [asyncio.create_task(handle.completion(timeout=10)) for handle in (run, run, elsewhere)]
        await asyncio.sleep(0.05)
        assert await elsewhere.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RequestCancelled] * 3
    answer = await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    assert (answer.status, answer.outcome) == (410, "cancelled")
    await asyncio.sleep(0.1)
    assert handled == []
