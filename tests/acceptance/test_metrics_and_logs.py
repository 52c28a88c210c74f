"""What operators see of deliveries: Airflow's own metrics, and fields in the logs."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import LONG, Line, eventually

from demo.local_airflow import LocalAirflow
from demo.local_statsd import LocalStatsd
from ringback_receiver import AsyncAirflowClient

pytestmark = pytest.mark.anyio


async def test_deliveries_are_told_to_airflows_metrics(line: Line, statsd: LocalStatsd) -> None:
    """The final task and the callback count what they delivered; the callback also tells how long it took."""
    statsd.lines.clear()
    handle = await line.receiver.trigger("both_paths")
    await handle.completion(timeout=LONG)
    wanted = [
        "ringback.delivered,destination=default,sender=task:1|c",
        "ringback.delivered,destination=default,sender=callback:1|c",
        "ringback.latency,destination=default,sender=callback:",
    ]

    async def counted() -> bool:
        return all(statsd.of(each) for each in wanted)

    await eventually(counted)


async def test_the_tasks_log_has_fields(client: AsyncAirflowClient, airflow: LocalAirflow) -> None:
    """The line about an event names it, its DAG and run, destination and outcome, for people and for machines."""
    conf = {"callback_url": "http://127.0.0.1:1/elsewhere?token=hush"}
    run = await client.trigger("both_paths", conf=conf)
    path = f"/api/v2/dags/both_paths/dagRuns/{run.run_id}/taskInstances/ringback_notify/logs/1"
    fields = {"dag_id": "both_paths", "run_id": run.run_id, "destination": "default", "outcome": "refused"}
    with airflow.api() as api:

        async def told() -> Any:
            answer = api.get(path, headers={"accept": "application/json"})
            assert "hush" not in answer.text
            lines = answer.json().get("content", [])
            return [each for each in lines if isinstance(each, dict) and each.items() >= fields.items()]

        (line,) = await eventually(told)
    assert line["event_id"].startswith("msg_")
    assert f"event {line['event_id']} to http://127.0.0.1:1/elsewhere?…" in line["event"]
    assert line["level"] == "warning"
