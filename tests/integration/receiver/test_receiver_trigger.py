"""What Airflow is asked, and what becomes of the request when it refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from ringing import URL, FakeAirflow, make_event, signed

from ringback_protocol import CallbackRequestError, PrivateKey
from ringback_receiver import (
    AirflowAuthError,
    AirflowProtocolError,
    AirflowUnreachable,
    AsyncAirflowClient,
    CompletionTimeout,
    DagNotFound,
    Receiver,
    RequestAbandoned,
    RunConflict,
    TriggerUnconfirmed,
)

pytestmark = pytest.mark.anyio


async def test_request_is_durable_before_airflow_hears_of_it(tmp_path: Path, key: PrivateKey) -> None:
    """The very request that Airflow gets can be resolved while the trigger is still under way."""

    class Instant(FakeAirflow):
        async def trigger(self, dag_id: str, **arguments: Any) -> Any:
            request_id = arguments["conf"]["callback"]["correlation_id"]
            answer = await receiver.handle(*signed(make_event(request_id, arguments["run_id"]), key))
            assert answer.status == 204
            return await super().trigger(dag_id, **arguments)

    receiver = Receiver(URL, str(key.public()), Instant(), f"sqlite:///{tmp_path}/ringback.db")
    async with receiver:
        run = await receiver.trigger("sales")
        assert (await run.completion(timeout=0)).succeeded


async def test_airflow_is_asked_to_ring_back(tmp_path: Path, key: PrivateKey, airflow: FakeAirflow) -> None:
    """The conf names the URL, the request and the destination; the caller's conf is untouched."""
    store = f"sqlite:///{tmp_path}/ringback.db"
    when = datetime(2026, 7, 2, tzinfo=timezone.utc)
    conf = {"region": "APAC"}
    async with Receiver(URL, str(key.public()), airflow, store, destination="portal") as receiver:
        run = await receiver.trigger("sales", conf=conf, logical_date=when, events=["failed"])
    callback = {
        "url": URL,
        "correlation_id": run.request_id,
        "destination": "portal",
        "events": ["failed"],
    }
    assert airflow.triggers == [
        {
            "dag_id": "sales",
            "conf": {"region": "APAC", "callback": callback},
            "run_id": f"ringback__{run.request_id}",
            "logical_date": when,
        }
    ]
    assert conf == {"region": "APAC"}


@pytest.mark.parametrize(
    "error",
    [DagNotFound("no"), RunConflict("no"), AirflowAuthError("no")],
    ids=lambda error: type(error).__name__,
)
async def test_rejected_trigger_abandons_the_request(opened: Receiver, airflow: FakeAirflow, error: Exception) -> None:
    """There is no run, so nobody shall wait for it; Airflow's own error is raised."""
    airflow.error = error
    with pytest.raises(type(error)) as caught:
        await opened.trigger("sales")
    assert caught.value is error
    handle = await opened.request(airflow.triggers[0]["conf"]["callback"]["correlation_id"])
    with pytest.raises(RequestAbandoned, match=f"{type(error).__name__}: no"):
        await handle.completion()


@pytest.mark.parametrize(
    "error",
    [AirflowUnreachable("timed out"), AirflowProtocolError("a web page"), OSError("gone")],
    ids=lambda error: type(error).__name__,
)
async def test_unconfirmed_trigger_stays_pending(
    opened: Receiver, airflow: FakeAirflow, key: PrivateKey, error: Exception
) -> None:
    """There may be a run, so the error carries a handle, and the event finds its request."""
    airflow.error = error
    with pytest.raises(TriggerUnconfirmed) as caught:
        await opened.trigger("sales")
    assert caught.value.__cause__ is error
    run = caught.value.handle
    assert caught.value.request_id == run.request_id
    await opened.handle(*signed(make_event(run.request_id, run.run_id), key))
    assert (await run.completion(timeout=0)).succeeded


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"conf": {"callback": {}}}, ValueError),
        ({"conf": {"callback_url": URL}}, ValueError),
        ({"events": ["ended"]}, CallbackRequestError),
        ({"metadata": object()}, TypeError),
    ],
)
async def test_impossible_trigger_never_reaches_airflow(
    opened: Receiver, airflow: FakeAirflow, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """It fails before anything is sent."""
    with pytest.raises(error):
        await opened.trigger("sales", **arguments)
    assert airflow.triggers == []


class AirflowServer:
    """Airflow's answers to triggers, as a transport: a run id is taken once, and ``spoil`` may do worse."""

    def __init__(self, spoil: Callable[[int, httpx.Request], httpx.Response | None] | None = None) -> None:
        self.runs: dict[str, Any] = {}
        self.asked = 0
        self._spoil = spoil or (lambda number, request: None)

    def client(self) -> AsyncAirflowClient:
        return AsyncAirflowClient("https://airflow.example", token="t0k3n", transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        answer = self._serve(request)
        return self._spoil(self.asked, request) or answer

    def _serve(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=self.runs[request.url.path.rpartition("/")[2]])
        asked = json.loads(request.content)
        if asked["dag_run_id"] in self.runs:
            return httpx.Response(409, json={"detail": {"reason": "Unique constraint violation"}})
        run = {**asked, "dag_id": "sales", "state": "queued"}
        self.runs[asked["dag_run_id"]] = run
        return httpx.Response(200, json=run)


def lose_then_forbid(number: int, request: httpx.Request) -> httpx.Response | None:
    """Lose the first answer, and let nobody look at runs."""
    if number == 1:
        raise httpx.ReadTimeout("lost", request=request)
    return httpx.Response(403, json={"detail": "Forbidden"}) if request.method == "GET" else None


async def test_run_whose_trigger_seemed_refused_is_not_thrown_away(tmp_path: Path, key: PrivateKey) -> None:
    """The answer is lost, the retry finds the run id taken, and the check is forbidden: the run exists all the same."""
    server = AirflowServer(lose_then_forbid)
    async with (
        server.client() as client,
        Receiver(URL, str(key.public()), client, f"sqlite:///{tmp_path}/ringback.db") as receiver,
    ):
        with pytest.raises(TriggerUnconfirmed) as caught:
            await receiver.trigger("sales")
        run = caught.value.handle
        assert list(server.runs) == [run.run_id]
        assert (await receiver.handle(*signed(make_event(run.request_id, run.run_id), key))).status == 204
        assert (await run.completion(timeout=0)).succeeded


async def test_trigger_with_a_run_id_may_be_repeated(tmp_path: Path, key: PrivateKey) -> None:
    """The same arguments give the same request and the same run, also from another process and after its end."""
    server, store = AirflowServer(), f"sqlite:///{tmp_path}/ringback.db"
    asked: dict[str, Any] = {"run_id": "nightly_7", "conf": {"region": "APAC"}}
    async with server.client() as client:
        async with Receiver(URL, str(key.public()), client, store) as receiver:
            first = await receiver.trigger("sales", metadata="first", **asked)
            again = await receiver.trigger("sales", metadata="second", **asked)
        async with Receiver(URL, str(key.public()), client, store) as receiver:
            elsewhere = await receiver.trigger("sales", **asked)
            await receiver.handle(*signed(make_event(first.request_id, "nightly_7"), key))
            assert (await elsewhere.completion(timeout=0)).metadata == "first"
            ended = await receiver.trigger("sales", **asked)
            assert (await ended.completion(timeout=0)).succeeded
    assert {run.request_id for run in (first, again, elsewhere, ended)} == {first.request_id}
    assert list(server.runs) == ["nightly_7"]


async def test_trigger_that_was_cut_short_may_be_repeated(
    opened: Receiver, airflow: FakeAirflow, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was cancelled before Airflow heard of it finds the request again by its run id."""

    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(3600)

    with monkeypatch.context() as slow:
        slow.setattr(airflow, "trigger", hang)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(opened.trigger("sales", run_id="nightly_7", metadata="first"), 0.1)
    run = await opened.trigger("sales", run_id="nightly_7")
    assert airflow.triggers[0]["conf"]["callback"]["correlation_id"] == run.request_id
    await opened.handle(*signed(make_event(run.request_id, "nightly_7"), key))
    assert (await run.completion(timeout=0)).metadata == "first"


async def test_unconfirmed_trigger_may_be_repeated(opened: Receiver, airflow: FakeAirflow) -> None:
    """The handle's run id leads back to the request, also when the receiver made it up."""
    airflow.error = AirflowUnreachable("timed out")
    with pytest.raises(TriggerUnconfirmed) as caught:
        await opened.trigger("sales")
    airflow.error = None
    run = await opened.trigger("sales", run_id=caught.value.handle.run_id)
    assert run.request_id == caught.value.request_id
    assert airflow.triggers[0] == airflow.triggers[1]


async def test_abandoned_request_is_taken_up_again(opened: Receiver, airflow: FakeAirflow) -> None:
    """Once the DAG is there the same trigger works; if it is not, the request is abandoned again."""
    for _ in range(2):
        airflow.error = DagNotFound("no")
        with pytest.raises(DagNotFound):
            await opened.trigger("sales", run_id="nightly_7")
        request_id = airflow.triggers[0]["conf"]["callback"]["correlation_id"]
        with pytest.raises(RequestAbandoned):
            await (await opened.request(request_id)).completion(timeout=0)
    airflow.error = None
    run = await opened.trigger("sales", run_id="nightly_7")
    assert run.request_id == request_id
    with pytest.raises(CompletionTimeout):
        await run.completion(timeout=0)


async def test_refused_repetition_leaves_the_first_request(opened: Receiver, airflow: FakeAirflow) -> None:
    """Whoever asks for a run that is there with another conf is refused, and harms nobody who waits for it."""
    first = await opened.trigger("sales", run_id="nightly_7")
    airflow.error = RunConflict("another conf")
    with pytest.raises(RunConflict):
        await opened.trigger("sales", run_id="nightly_7", conf={"region": "EMEA"})
    with pytest.raises(CompletionTimeout):
        await first.completion(timeout=0)


async def test_first_trigger_that_loses_the_race_leaves_the_request(tmp_path: Path, key: PrivateKey) -> None:
    """Of two at the same time the second creates the run: the first's refusal does not abandon it."""
    entered, release = asyncio.Event(), asyncio.Event()

    class Racing(FakeAirflow):
        async def trigger(self, dag_id: str, **arguments: Any) -> Any:
            if not self.triggers:
                await super().trigger(dag_id, **arguments)
                entered.set()
                await release.wait()
                raise RunConflict("the second was faster")
            return await super().trigger(dag_id, **arguments)

    async with Receiver(URL, str(key.public()), Racing(), f"sqlite:///{tmp_path}/ringback.db") as receiver:
        slow = asyncio.create_task(receiver.trigger("sales", run_id="nightly_7", conf={"region": "EMEA"}))
        await asyncio.wait_for(entered.wait(), 5)
        run = await receiver.trigger("sales", run_id="nightly_7")
        release.set()
        with pytest.raises(RunConflict):
            await slow
        with pytest.raises(CompletionTimeout):
            await run.completion(timeout=0)


async def test_cancelled_request_is_not_taken_up_again(opened: Receiver, airflow: FakeAirflow) -> None:
    """What was cancelled is over: the same trigger is a new request."""
    first = await opened.trigger("sales", run_id="nightly_7")
    await first.cancel()
    second = await opened.trigger("sales", run_id="nightly_7")
    assert second.request_id != first.request_id
    assert airflow.triggers[1]["conf"]["callback"]["correlation_id"] == second.request_id


async def test_trigger_without_a_run_id_is_always_a_new_run(opened: Receiver, airflow: FakeAirflow) -> None:
    """Nothing says that the second is a repetition of the first."""
    runs = [await opened.trigger("sales") for _ in range(2)]
    assert len({run.run_id for run in runs}) == len({run.request_id for run in runs}) == 2
