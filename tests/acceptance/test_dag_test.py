"""``dag.test()``: what DAG authors run on their own machine works with both paths."""

from __future__ import annotations

import asyncio
import json

import pytest
from conftest import Line

from demo.local_airflow import LocalAirflow
from ringback_receiver import AsyncAirflowClient

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("dag_id", "reporter"), [("sales_report", "task"), ("callback_only", "callback")])
async def test_dag_test_rings_back(
    line: Line, airflow: LocalAirflow, client: AsyncAirflowClient, dag_id: str, reporter: str
) -> None:
    """A run of ``dag.test()`` with a callback in its conf reports itself; nobody triggered it, so it is parked."""
    conf = json.dumps({"callback_url": line.receiver.callback_url})
    # Else the scheduler, which an author's machine has not, would start the same tasks.
    await client.pause(dag_id)
    try:
        output = await asyncio.to_thread(airflow.run, "dags", "test", dag_id, "-c", conf)
    finally:
        await client.unpause(dag_id)
    assert "Callback failed" not in output
    reports = [(exchange.body["data"]["reported_by"], exchange.status) for exchange in line.exchanges]
    assert reports == [(reporter, 202)], output[-4000:]
    (exchange,) = line.exchanges
    assert (exchange.body["data"]["dag_id"], exchange.body["data"]["state"]) == (dag_id, "success")
    # Airflow lets no callback of dag.test() read XComs, so there the result is said to be unavailable.
    omitted = exchange.body["data"].get("result_omitted", {}).get("reason")
    assert (exchange.body["data"]["result"] is not None, omitted) == {
        "task": (True, None),
        "callback": (False, "unavailable"),
    }[reporter]
