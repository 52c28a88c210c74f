"""What an event is answered, and what comes of it: by the method and through a real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from ringing import STARTED, URL, Line, make_event, signed, until

from ringback_protocol import PrivateKey
from ringback_receiver import (
    Completion,
    CompletionTimeout,
    DagNotFound,
    RequestAbandoned,
    RequestCancelled,
)

pytestmark = pytest.mark.anyio

RERUN = STARTED + timedelta(hours=1)


async def test_event_resolves_whoever_waits(line: Line) -> None:
    """Several wait for one run, and all get the one completion; the sender gets a bare 204."""
    run = await line.trigger(conf={"region": "APAC"}, metadata={"customer": 7})
    waiting = [asyncio.create_task(run.completion(timeout=10)) for _ in range(3)]
    await asyncio.sleep(0)
    event = make_event(run.request_id, run.run_id, result={"rows": 4213})
    assert await line.deliver(event) == (204, None)
    completions = await asyncio.gather(*waiting)
    assert completions == [completions[0]] * 3
    assert completions[0].result == {"rows": 4213}
    assert completions[0].metadata == {"customer": 7}
    assert completions[0].event == event
    assert not completions[0].revision


async def test_completion_that_is_there_is_given_at_once(line: Line) -> None:
    """Waiting may begin after the end."""
    run = await line.trigger()
    await line.deliver(make_event(run.request_id, run.run_id))
    assert (await run.completion(timeout=0)).succeeded


async def test_early_event_resolves_at_registration(line: Line) -> None:
    """An event for a run that is not registered yet is parked, and found when it is."""
    assert await line.deliver(make_event(None, "nightly_7")) == (202, {"outcome": "parked"})
    run = await line.trigger(run_id="nightly_7")
    assert (await run.completion(timeout=0)).run_id == "nightly_7"


async def test_duplicate_changes_nothing(line: Line) -> None:
    """The second delivery is answered like the first."""
    run = await line.trigger()
    event = make_event(run.request_id, run.run_id)
    assert [await line.deliver(event), await line.deliver(event)] == [(204, None)] * 2


async def test_unknown_request_is_parked_and_then_a_duplicate(line: Line) -> None:
    """The sender may stop: it is kept."""
    event = make_event("req_unknown", "run_1")
    assert await line.deliver(event) == (202, {"outcome": "parked"})
    assert await line.deliver(event) == (204, None)


async def test_revision_leaves_what_was_awaited(line: Line) -> None:
    """A rerun rings again; the first completion stays, and handlers are told of both."""
    handled: list[Completion] = []
    line.receiver.on_completion("sales", name="keep")(handled.append)
    run = await line.trigger()
    assert await line.deliver(make_event(run.request_id, run.run_id)) == (204, None)
    rerun = make_event(run.request_id, run.run_id, state="failed", start_date=RERUN)
    assert await line.deliver(rerun) == (204, None)
    assert (await run.completion()).succeeded
    await until(lambda: len(handled) == 2)
    assert sorted((done.state, done.revision) for done in handled) == [("failed", True), ("success", False)]


async def test_conflicting_event_is_kept_and_resolves_nothing(line: Line) -> None:
    """A second run with a copied conf cannot end the first one's request."""
    run = await line.trigger()
    assert await line.deliver(make_event(run.request_id, "copied_by_hand")) == (204, None)
    with pytest.raises(CompletionTimeout):
        await run.completion(timeout=0)
    assert await line.deliver(make_event(run.request_id, run.run_id)) == (204, None)
    assert (await run.completion(timeout=0)).run_id == run.run_id


async def test_cancelled_request_answers_gone(line: Line) -> None:
    """The sender is told to stop for good, and whoever waits is told, too."""
    run = await line.trigger()
    waiting = asyncio.create_task(run.completion(timeout=10))
    await asyncio.sleep(0.05)
    assert await run.cancel()
    with pytest.raises(RequestCancelled):
        await waiting
    event = make_event(run.request_id, run.run_id)
    assert [await line.deliver(event), await line.deliver(event)] == [(410, {"outcome": "cancelled"})] * 2
    with pytest.raises(RequestCancelled):
        await run.completion()


async def test_resolved_request_cannot_be_cancelled(line: Line) -> None:
    """Who comes too late is told so."""
    run = await line.trigger()
    await line.deliver(make_event(run.request_id, run.run_id))
    assert not await run.cancel()
    assert (await run.completion(timeout=0)).succeeded


async def test_started_event_never_resolves(line: Line) -> None:
    """It is recorded, and the wait goes on."""
    run = await line.trigger(events=["started", "succeeded", "failed"])
    assert await line.deliver(make_event(run.request_id, run.run_id, state="running")) == (204, None)
    with pytest.raises(CompletionTimeout):
        await run.completion(timeout=0.05)
    await line.deliver(make_event(run.request_id, run.run_id))
    assert (await run.completion(timeout=0)).succeeded


async def test_event_of_an_abandoned_request_resolves_it(line: Line) -> None:
    """Airflow seemed to refuse the run, and yet it rings: the completion is there, and handlers hear of it."""
    handled: list[Completion] = []
    line.receiver.on_completion("sales", name="keep")(handled.append)
    line.airflow.error = DagNotFound("no such DAG", status=404)
    with pytest.raises(DagNotFound):
        await line.trigger(run_id="run_1")
    request_id = line.airflow.triggers[0]["conf"]["callback"]["correlation_id"]
    run = await line.receiver.request(request_id)
    with pytest.raises(RequestAbandoned, match="DagNotFound"):
        await run.completion()
    assert await line.deliver(make_event(request_id, "run_1")) == (204, None)
    assert (await run.completion(timeout=0)).succeeded
    await until(lambda: len(handled) == 1)


async def test_start_of_an_abandoned_request_is_waited_on(line: Line) -> None:
    """Its run has begun, so its end can be waited for again."""
    line.airflow.error = DagNotFound("no such DAG", status=404)
    with pytest.raises(DagNotFound):
        await line.trigger(run_id="run_1", events=["started", "succeeded", "failed"])
    request_id = line.airflow.triggers[0]["conf"]["callback"]["correlation_id"]
    assert await line.deliver(make_event(request_id, "run_1", state="running")) == (204, None)
    waiting = asyncio.create_task((await line.receiver.request(request_id)).completion(timeout=10))
    await asyncio.sleep(0.05)
    await line.deliver(make_event(request_id, "run_1"))
    assert (await waiting).succeeded


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"key": PrivateKey.generate()}, 401, "bad_signature"),
        ({"now": 1.0}, 401, "timestamp_too_old"),
        ({"url": "https://other.example/"}, 403, "wrong_audience"),
    ],
    ids=["key", "age", "audience"],
)
async def test_untrusted_event_is_refused(
    line: Line, key: PrivateKey, change: dict[str, Any], status: int, error: str
) -> None:
    """The answer says which check failed, and nothing is recorded."""
    run = await line.trigger()
    event = make_event(run.request_id, run.run_id, url=change.get("url", URL))
    headers, body = signed(event, change.get("key", key), now=change.get("now"))
    assert await line.ring(headers, body) == (status, {"error": error})
    with pytest.raises(CompletionTimeout):
        await run.completion(timeout=0)
