"""Every shape of graph: the state that the final task predicts is the state that Airflow decides."""

from __future__ import annotations

import asyncio

import pytest
from conftest import LONG, Line

from demo.local_airflow import LocalAirflow
from ringback_receiver import AsyncAirflowClient

pytestmark = pytest.mark.anyio

EXPECTED = {
    "all_skipped": "success",
    "empty_mapping": "success",
    "fail_fast": "failed",
    "failing_setup": "failed",
    "failing_teardown_of_the_users": "success",
    "failing_teardown_that_counts": "failed",
    "failure_below_good_leaf": "success",
    "failure_masked_by_teardown_that_counts": "success",
    "groups": "failed",
    "hostile_default_args": "failed",
    "mapped_group": "failed",
    "nothing_else": "success",
    "one_of_two_leaves_fails": "failed",
    "partly_failed_mapping": "failed",
    "upstream_failed": "failed",
}


async def test_predictions_are_what_airflow_decides(
    line: Line, airflow: LocalAirflow, client: AsyncAirflowClient
) -> None:
    """One run of each shape: event, Airflow's state and our expectation agree."""
    with airflow.api() as api:
        dags = api.get("/api/v2/dags", params={"tags": ["shape"], "limit": 100}).json()["dags"]
    assert {dag["dag_id"] for dag in dags} == {f"shape_{name}" for name in EXPECTED}

    few_at_once = asyncio.Semaphore(4)

    async def one(name: str) -> tuple[str, str, str]:
        async with few_at_once:
            return await run(name)

    async def run(name: str) -> tuple[str, str, str]:
        handle = await line.receiver.trigger(f"shape_{name}")
        completion = await handle.completion(timeout=LONG * 2)
        ended = await client.get_run(handle.dag_id, handle.run_id)
        while not ended.finished:
            await asyncio.sleep(0.5)
            ended = await client.get_run(handle.dag_id, handle.run_id)
        return name, completion.state, ended.state

    answers = await asyncio.gather(*(one(name) for name in EXPECTED))
    assert {name: (told, real) for name, told, real in answers} == {
        name: (state, state) for name, state in EXPECTED.items()
    }
