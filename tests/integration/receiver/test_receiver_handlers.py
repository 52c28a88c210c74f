"""Handlers: run once for each ending, retried when they fail, waited for when the receiver closes."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from ringing import URL, FakeAirflow, Line, make_event, signed, until

from ringback_protocol import PrivateKey
from ringback_receiver import Completion, FailingCall, GiveUp, Receiver

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


async def ring(receiver: Receiver, key: PrivateKey) -> str:
    """Trigger a run and let it end; return the request's id."""
    run = await receiver.trigger("sales")
    await receiver.handle(*signed(make_event(run.request_id, run.run_id), key))
    return run.request_id


async def test_handler_that_gives_up_is_visible_and_can_be_retried(opened: Receiver, key: PrivateKey) -> None:
    """At once if it says so, or after its last attempt; then only whoever looks after it lets it run again."""
    attempts: list[str] = []
    broken = True

    @opened.on_completion("sales", name="says so")
    def says_so(completion: Completion) -> None:
        attempts.append("says so")
        if broken:
            raise GiveUp("no such customer")

    @opened.on_completion("sales", name="twice", max_attempts=2)
    async def twice(completion: Completion) -> None:
        attempts.append("twice")
        if broken:
            raise RuntimeError("database away")

    request_id = await ring(opened, key)
    await until(lambda: len(attempts) == 3)
    failing: dict[str, FailingCall] = {}
    while len(failing) < 2 or any(call.given_up_at is None for call in failing.values()):
        await asyncio.sleep(0.05)
        failing = {call.handler: call for call in await opened.failing_handlers()}
    assert {name: (call.attempts, call.error) for name, call in failing.items()} == {
        "says so": (1, "GiveUp: no such customer"),
        "twice": (2, "RuntimeError: database away"),
    }
    assert {call.request_id for call in failing.values()} == {request_id}
    await asyncio.sleep(1.2)  # longer than the first pause
    assert len(attempts) == 3
    broken = False
    assert await opened.retry_handlers(request_id="req_another") == 0
    assert await opened.retry_handlers(request_id=request_id) == 2
    await until(lambda: len(attempts) == 5)
    await asyncio.sleep(0.1)
    assert await opened.failing_handlers() == []


async def test_endless_handler_fails_and_frees_its_place(
    opened: Receiver, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that awaits is cancelled, one in a thread is left alone, one that does not let itself be cancelled, too."""
    monkeypatch.setattr("ringback_receiver._handlers._GRACE", 0.05)
    monkeypatch.setattr("ringback_receiver._dispatcher.CONCURRENCY", 3)
    cancelled: list[str] = []
    release = threading.Event()

    @opened.on_completion(name="awaits", timeout=0.1, max_attempts=1)
    async def awaits(completion: Completion) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled.append("awaits")

    @opened.on_completion(name="deaf", timeout=0.1, max_attempts=1)
    async def deaf(completion: Completion) -> None:
        while not release.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                cancelled.append("deaf")

    @opened.on_completion(name="blocks", timeout=0.1, max_attempts=1)
    def blocks(completion: Completion) -> None:
        release.wait(60)

    await ring(opened, key)
    handled = asyncio.Event()

    @opened.on_completion(name="next")
    async def following(completion: Completion) -> None:
        handled.set()

    await ring(opened, key)
    await asyncio.wait_for(handled.wait(), 5)
    failing: dict[str, str] = {}
    while len(failing) < 3:
        await asyncio.sleep(0.05)
        failing = {call.handler: call.error for call in await opened.failing_handlers()}
    release.set()
    assert failing == dict.fromkeys(["awaits", "deaf", "blocks"], "TimeoutError: it did not end within 0.1 s")
    assert {"awaits", "deaf"} <= set(cancelled)


async def test_handler_whose_threads_never_end_gets_no_more_of_them(
    opened: Receiver, key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    """Three may hang; its next turns wait until one has ended, and other handlers go on."""
    release = threading.Event()
    begun: list[str] = []
    handled: list[str] = []

    @opened.on_completion(name="hangs", timeout=0.05)
    def hangs(completion: Completion) -> None:
        begun.append(completion.event_id)
        release.wait(60)

    @opened.on_completion(name="well")
    def well(completion: Completion) -> None:
        handled.append(completion.event_id)

    for _ in range(3):
        await ring(opened, key)
    await until(lambda: "handler hangs: 3 calls never ended" in caplog.text)
    await ring(opened, key)
    await until(lambda: len(handled) == 4)
    await asyncio.sleep(1.5)  # past the pause after which the three would come again
    assert len(begun) == 3
    release.set()
    await until(lambda: len(begun) >= 4)


async def first_failing(receiver: Receiver) -> list[FailingCall]:
    """Return the handlers' turns that failed, once there are some."""
    for _ in range(250):
        if failing := await receiver.failing_handlers():
            return failing
        await asyncio.sleep(0.02)
    return []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_handler_that_would_end_the_program_fails_like_any_other(
    opened: Receiver, key: PrivateKey, kind: str, error: BaseException
) -> None:
    """``sys.exit()`` in a library that it calls is noted, and the receiver goes on."""

    def leave(completion: Completion) -> None:
        raise error

    async def leave_later(completion: Completion) -> None:
        await asyncio.sleep(0)
        raise error

    opened.on_completion("sales", name="leaving", max_attempts=1)(leave if kind == "sync" else leave_later)
    run = await opened.trigger("sales")
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))

    (failing,) = await first_failing(opened)
    assert failing.error.startswith(f"RuntimeError: it raised {type(error).__name__}")


async def test_error_that_no_store_can_hold_is_noted_all_the_same(opened: Receiver, key: PrivateKey) -> None:
    """Half a surrogate pair, as in the name of a file, is replaced; the turn is not lost from sight."""

    @opened.on_completion("sales", name="reading", max_attempts=1)
    def reading(completion: Completion) -> None:
        raise ValueError("bad file \udcff.csv")

    run = await opened.trigger("sales")
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))

    (failing,) = await first_failing(opened)
    assert failing.error == "ValueError: bad file ?.csv"
