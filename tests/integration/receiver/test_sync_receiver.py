"""The blocking receiver: in scripts, in threads, in forked processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, make_event, signed
from runs_server import RunsServer

from ringback_protocol import PrivateKey
from ringback_receiver import (
    AirflowClient,
    Completion,
    CompletionTimeout,
    ConfigurationError,
    ReceiverNotOpen,
    RequestCancelled,
    RequestExpired,
    SyncReceiver,
    SyncRunHandle,
    UnknownRequest,
)


@pytest.fixture
def server() -> RunsServer:
    return RunsServer()


@pytest.fixture
def receiver(tmp_path: Path, key: PrivateKey, server: RunsServer) -> Iterator[SyncReceiver]:
    """A receiver, not yet open."""
    with AirflowClient("https://airflow.example", token="t0k3n", transport=server.transport()) as client:
        receiver = SyncReceiver(URL, str(key.public()), client, f"sqlite:///{tmp_path}/ringback.db", reconcile=(60,))
        yield receiver
        receiver.close()


def ring(receiver: SyncReceiver, run: SyncRunHandle, key: PrivateKey) -> int:
    return receiver.handle(*signed(make_event(run.request_id, run.run_id, result={"rows": 3}), key)).status


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_script_waits_for_its_run(receiver: SyncReceiver, key: PrivateKey) -> None:
    """Trigger, wait in one thread, take the event in another."""
    with receiver:
        run = receiver.trigger("sales", conf={"region": "APAC"}, metadata={"order": 7})
        with ThreadPoolExecutor() as threads:
            waiting = [threads.submit(run.completion, 10) for _ in range(3)]
            assert ring(receiver, run, key) == 204
            completions = [each.result() for each in waiting]
        assert {completion.event_id for completion in completions} == {completions[0].event_id}
        assert (completions[0].result, completions[0].metadata) == ({"rows": 3}, {"order": 7})
        again = receiver.request(run.request_id)
        assert repr(again) == f"SyncRunHandle(request_id={run.request_id!r}, dag_id='sales', run_id={run.run_id!r})"
        assert again.completion(timeout=0).succeeded


def test_waiting_ends_as_it_does_elsewhere(receiver: SyncReceiver) -> None:
    """In time, at the deadline, when it is cancelled; and what is unknown is unknown."""
    with receiver:
        run = receiver.trigger("sales", deadline=0.2)
        with pytest.raises(CompletionTimeout):
            run.completion(timeout=0.01)
        with pytest.raises(RequestExpired):
            run.completion(timeout=10)
        other = receiver.trigger("sales")
        assert other.cancel()
        with pytest.raises(RequestCancelled):
            other.completion()
        with pytest.raises(UnknownRequest):
            receiver.request("req_unknown")


def test_lost_callback_is_made_good(tmp_path: Path, key: PrivateKey, server: RunsServer) -> None:
    """The reconciler runs in its thread."""
    with (
        AirflowClient("https://airflow.example", token="t0k3n", transport=server.transport()) as client,
        SyncReceiver(URL, str(key.public()), client, f"sqlite:///{tmp_path}/ringback.db", reconcile=(0.1,)) as receiver,
    ):
        run = receiver.trigger("sales")
        server.end()
        assert run.completion(timeout=10).reported_by == "reconciler"


def test_handlers_run_and_may_use_the_receiver(receiver: SyncReceiver, key: PrivateKey) -> None:
    """One triggers the next run and waits for it; registered before it is open or after."""
    chained: list[str] = []
    handled: list[str] = []

    @receiver.on_completion("sales")
    def next_step(completion: Completion) -> None:
        chained.append(receiver.trigger("stock").request_id)

    with receiver:

        @receiver.on_completion
        def note(completion: Completion) -> None:
            handled.append(completion.run_id)

        run = receiver.trigger("sales")
        ring(receiver, run, key)
        until(lambda: chained and handled)
        assert receiver.request(chained[0]).dag_id == "stock"
    assert handled == [run.run_id]


def test_async_handler_that_blocks_its_own_loop_is_told(receiver: SyncReceiver, key: PrivateKey) -> None:
    """An error that says what to do, not a deadlock; it is visible, and can be retried."""

    @receiver.on_completion(name="wrong", max_attempts=1)
    async def wrong(completion: Completion) -> None:
        receiver.failing_handlers()

    with receiver:
        run = receiver.trigger("sales")
        ring(receiver, run, key)
        until(receiver.failing_handlers)
        (failing,) = receiver.failing_handlers()
        assert "make the handler a plain function" in failing.error
        assert receiver.retry_handlers(request_id=run.request_id) == 1


def test_it_opens_once_and_closes_once(receiver: SyncReceiver) -> None:
    """However many threads want it; afterwards it can be opened again."""
    loops = lambda: [thread for thread in threading.enumerate() if thread.name == "ringback-loop"]  # noqa: E731
    with pytest.raises(ReceiverNotOpen):
        receiver.trigger("sales")
    for _ in range(2):
        with ThreadPoolExecutor() as threads:
            for opening in [threads.submit(receiver.open) for _ in range(10)]:
                opening.result()
        assert len(loops()) == 1
        receiver.close()
        receiver.close()
        assert loops() == []


def test_closing_ends_who_waits(receiver: SyncReceiver) -> None:
    """In whatever thread."""
    receiver.open()
    run = receiver.trigger("sales")
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(run.completion)
        time.sleep(0.1)
        receiver.close()
        with pytest.raises(ReceiverNotOpen):
            waiting.result(timeout=5)
    with pytest.raises(ReceiverNotOpen):
        run.completion()


@pytest.mark.parametrize("options", [{"reconcile": (0,)}, {"destination": "?"}, {"max_waiting": 0}])
def test_impossible_argument_is_refused_at_once(key: PrivateKey, options: dict[str, Any]) -> None:
    """Not only when it is opened."""
    with (
        AirflowClient("https://airflow.example", token="t") as client,
        pytest.raises(ConfigurationError),
    ):
        SyncReceiver(URL, str(key.public()), client, **options)


def test_two_handlers_of_one_name_are_refused(receiver: SyncReceiver) -> None:
    """At once, and the first stays."""
    receiver.on_completion(name="same")(print)
    with pytest.raises(ConfigurationError, match="same"):
        receiver.on_completion(name="same")(repr)
    receiver.open()


def test_failing_to_open_leaves_nothing_behind(key: PrivateKey, tmp_path: Path) -> None:
    """The error is the store's, and no thread stays."""
    receiver = SyncReceiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/missing/ringback.db")
    with pytest.raises(Exception, match="missing"):
        receiver.open()
    assert not [thread for thread in threading.enumerate() if thread.name == "ringback-loop"]
    with pytest.raises(ReceiverNotOpen):
        receiver.failing_handlers()


PROGRAM = """
import os, sys, threading, time
from ringback_receiver import ConfigurationError, ReceiverNotOpen, SyncReceiver
receiver = SyncReceiver("https://portal.example/x", sys.argv[1], store=sys.argv[2])
receiver.on_completion(name="h")(print)
if sys.argv[3] == "open":
    receiver.open()
if sys.argv[3] == "being opened":
    make, begun = receiver._make, threading.Event()
    def slowly():
        begun.set()
        time.sleep(1)
        return make()
    receiver._make = slowly
    threading.Thread(target=receiver.open).start()
    begun.wait()
if (child := os.fork()) == 0:
    try:
        receiver.failing_handlers()
    except ReceiverNotOpen:
        receiver.close()
    try:
        receiver.open()
    except ConfigurationError as error:
        os._exit(8 if "open it after the fork" in str(error) else 9)
    os._exit(len(receiver.failing_handlers()) + 7)
_, status = os.waitpid(child, 0)
receiver.open()
print("child", os.waitstatus_to_exitcode(status), "parent", receiver.failing_handlers())
"""


@pytest.mark.parametrize(("state", "child"), [("closed", 7), ("open", 8), ("being opened", 8)])
def test_forked_process_opens_its_own(tmp_path: Path, key: PrivateKey, state: str, child: int) -> None:
    """Threads do not survive a fork, nor may SQLite's state; and a script that forgets to close it ends, too."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(key.public()), f"sqlite:///{tmp_path}/ringback.db", state],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == f"child {child} parent []\n"


def test_interrupted_wait_stops_waiting(receiver: SyncReceiver) -> None:
    """Ctrl-C in a script ends the wait, and the receiver closes as usual."""
    # A program that a shell started in the background ignores it: not what this is about.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.ExitStack() as stack, receiver:
        stack.callback(signal.signal, signal.SIGINT, before)
        run = receiver.trigger("sales")
        timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            run.completion(timeout=30)
        timer.join()
        with contextlib.suppress(CompletionTimeout):
            run.completion(timeout=0)


def test_handler_may_ask_whether_it_is_open_while_it_closes(receiver: SyncReceiver, key: PrivateKey) -> None:
    """It is told, and waits for nobody who waits for it."""
    begun, closing, told = threading.Event(), threading.Event(), threading.Event()

    @receiver.on_completion("sales")
    def late(completion: Completion) -> None:
        begun.set()
        assert closing.wait(10)
        until(lambda: receiver._closing)
        with pytest.raises(ReceiverNotOpen):
            receiver.open()
        told.set()

    receiver.open()
    ring(receiver, receiver.trigger("sales"), key)
    assert begun.wait(10)
    closing.set()
    receiver.close()
    assert told.is_set()
    receiver.open()


STUBBORN = """
import asyncio, contextlib, sys, threading
from ringing import URL, make_event, signed
from ringback_protocol import PrivateKey
from ringback_receiver import _dispatcher, _loop_thread, SyncReceiver
_dispatcher.GRACE = _loop_thread._GRACE = 0.2
key, begun = PrivateKey.generate(), threading.Event()
receiver = SyncReceiver(URL, str(key.public()), store=sys.argv[1], close_timeout=0.1)
receiver.open()
@receiver.on_completion("sales", name="stubborn", timeout=None)
async def stubborn(completion):
    begun.set()
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
with receiver:
    from ringback_receiver._matching import PendingRequest
    request = PendingRequest(request_id="req_1", dag_id="sales", run_id="run_1", callback_url=URL, created_at=1.0)
    running = receiver._require_open()
    running.run(running.receiver._store.register(request, handlers=["stubborn"]))
    assert receiver.handle(*signed(make_event("req_1", "run_1"), key)).status == 204
    assert begun.wait(10)
print("closed")
"""


def test_handler_that_ignores_its_end_is_left_behind(tmp_path: Path) -> None:
    """Closing takes a bounded time, and names who would not end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STUBBORN, f"sqlite:///{tmp_path}/ringback.db"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.stdout == "closed\n", done.stderr
    assert "ringback-handler stubborn ignores that it was cancelled, and is left behind" in done.stderr
