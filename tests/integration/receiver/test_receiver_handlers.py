"""Handlers: run once for each ending, retried when they fail, waited for when the receiver closes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ringing import URL, FakeAirflow, Line, make_event, signed, until

from ringback_protocol import PrivateKey
from ringback_receiver import Completion, Receiver

pytestmark = pytest.mark.anyio


async def test_handlers_run_sync_and_async(line: Line) -> None:
    """Each gets the completion once; those of another DAG do not."""
    handled: list[tuple[str, str]] = []

    @line.receiver.on_completion("sales")
    async def awaited(completion: Completion) -> None:
        await asyncio.sleep(0)
        handled.append(("awaited", completion.run_id))

    @line.receiver.on_completion
    def threaded(completion: Completion) -> None:
        handled.append(("threaded", completion.run_id))

    @line.receiver.on_completion("stock")
    def unconcerned(completion: Completion) -> None:
        handled.append(("unconcerned", completion.run_id))

    run = await line.trigger()
    await line.deliver(make_event(run.request_id, run.run_id))
    await until(lambda: len(handled) >= 2)
    assert sorted(handled) == [("awaited", run.run_id), ("threaded", run.run_id)]


async def test_failing_handler_is_retried_and_visible(opened: Receiver, key: PrivateKey) -> None:
    """It comes again after its backoff, and until then its error can be read."""
    attempts: list[str] = []

    @opened.on_completion("sales", name="flaky")
    def flaky(completion: Completion) -> None:
        attempts.append(completion.event_id)
        if len(attempts) == 1:
            raise RuntimeError("database away")

    run = await opened.trigger("sales")
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    await until(lambda: len(attempts) == 1)
    await asyncio.sleep(0.1)
    (failing,) = await opened.failing_handlers()
    assert (failing.handler, failing.attempts, failing.request_id) == ("flaky", 1, run.request_id)
    assert failing.error == "RuntimeError: database away"
    await until(lambda: len(attempts) == 2)
    await asyncio.sleep(0.1)
    assert await opened.failing_handlers() == []


async def test_handler_that_is_cancelled_from_within_has_failed(opened: Receiver, key: PrivateKey) -> None:
    """A handler that awaits what somebody else cancelled, or that says so itself, is retried like any other."""
    attempts: list[str] = []

    @opened.on_completion("sales", name="awaited")
    async def awaited(completion: Completion) -> None:
        attempts.append("awaited")
        forsaken = asyncio.create_task(asyncio.sleep(3600))
        forsaken.cancel()
        await forsaken

    @opened.on_completion("sales", name="threaded")
    def threaded(completion: Completion) -> None:
        attempts.append("threaded")
        raise asyncio.CancelledError

    run = await opened.trigger("sales")
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    await until(lambda: len(attempts) == 2)
    await asyncio.sleep(0.1)
    failing = {call.handler: call.error for call in await opened.failing_handlers()}
    assert failing == {"awaited": "CancelledError: ", "threaded": "CancelledError: "}
    await until(lambda: sorted(attempts) == ["awaited"] * 2 + ["threaded"] * 2)


async def test_closing_lets_handlers_finish(receiver: Receiver, key: PrivateKey) -> None:
    """What runs is waited for, and its work is noted."""
    finished: list[str] = []
    begun = asyncio.Event()

    @receiver.on_completion
    async def slow(completion: Completion) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        finished.append(completion.event_id)

    async with receiver:
        run = await receiver.trigger("sales")
        await receiver.handle(*signed(make_event(run.request_id, run.run_id), key))
        await asyncio.wait_for(begun.wait(), 5)
    assert len(finished) == 1
    async with receiver:
        await asyncio.sleep(0.2)
    assert len(finished) == 1


async def test_closing_is_bounded(
    tmp_path: Path, key: PrivateKey, airflow: FakeAirflow, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that does not end is cancelled; it will run again."""
    store = f"sqlite:///{tmp_path}/ringback.db"
    receiver = Receiver(URL, str(key.public()), airflow, store, close_timeout=0.1)
    begun = asyncio.Event()

    @receiver.on_completion(name="endless")
    async def endless(completion: Completion) -> None:
        begun.set()
        await asyncio.sleep(3600)

    async with receiver:
        run = await receiver.trigger("sales")
        await receiver.handle(*signed(make_event(run.request_id, run.run_id), key))
        await asyncio.wait_for(begun.wait(), 5)
        closing = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - closing < 2
    assert "handler endless did not finish in time" in caplog.text
