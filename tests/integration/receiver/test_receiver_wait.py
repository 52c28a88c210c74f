"""Waiting for a completion, here or in another process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from ringing import URL, make_event, signed, until

from ringback_protocol import PrivateKey
from ringback_receiver import CompletionTimeout, Receiver, UnknownRequest

pytestmark = pytest.mark.anyio


async def test_timeout_leaves_the_request_pending(opened: Receiver, key: PrivateKey) -> None:
    """It is a TimeoutError, names the request, and the next wait may succeed."""
    run = await opened.trigger("sales")
    with pytest.raises(TimeoutError, match=run.request_id):
        await run.completion(timeout=0.01)
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    assert (await run.completion(timeout=0)).succeeded


async def test_handle_is_found_again_by_its_request_id(opened: Receiver) -> None:
    """The id is all that has to be kept."""
    run = await opened.trigger("sales", run_id="mine")
    found = await opened.request(run.request_id)
    assert (found.request_id, found.dag_id, found.run_id) == (run.request_id, "sales", "mine")
    assert repr(found) == repr(run) == f"RunHandle(request_id={run.request_id!r}, dag_id='sales', run_id='mine')"


async def test_unknown_request_id_is_an_error(opened: Receiver) -> None:
    """It is a LookupError that names the id."""
    with pytest.raises(UnknownRequest, match="req_unknown") as caught:
        await opened.request("req_unknown")
    assert isinstance(caught.value, LookupError)


async def test_completion_recorded_by_another_process_wakes(opened: Receiver, tmp_path: Path, key: PrivateKey) -> None:
    """A second receiver on the same file takes the event, and the first one's waiter gets it."""
    run = await opened.trigger("sales")
    waiting = asyncio.create_task(run.completion(timeout=10))
    await asyncio.sleep(0.05)
    async with Receiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/ringback.db") as other:
        await other.handle(*signed(make_event(run.request_id, run.run_id), key))
        assert (await waiting).succeeded


async def test_lost_wake_is_found_by_the_poll(
    opened: Receiver, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The future is a hint: without it the completion is found all the same."""
    run = await opened.trigger("sales")
    waiting = asyncio.create_task(run.completion(timeout=10))
    await asyncio.sleep(0.05)
    with monkeypatch.context() as deaf:
        deaf.setattr("ringback_receiver._waiters.Waiters.settle", lambda *_: None)
        await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    assert not waiting.done()
    assert (await waiting).succeeded


async def test_nobody_looks_while_nobody_waits(opened: Receiver) -> None:
    """The poll ends with its last waiter."""
    run = await opened.trigger("sales")
    with pytest.raises(CompletionTimeout):
        await run.completion(timeout=0)
    await until(lambda: not any(task.get_name() == "ringback-poll" for task in asyncio.all_tasks()))
