"""What Airflow is asked, and what becomes of the request when it refuses."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, FakeAirflow, make_event, signed

from ringback_protocol import CallbackRequestError, PrivateKey
from ringback_receiver import (
    AirflowAuthError,
    AirflowProtocolError,
    AirflowUnreachable,
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
