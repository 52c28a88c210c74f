"""What is refused: clearly, at once, and without harm to the run."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from conftest import LONG, Line, OpenLine, eventually

from demo.local_airflow import LocalAirflow
from ringback_receiver import AsyncAirflowClient

pytestmark = pytest.mark.anyio


async def run_and_read_log(
    airflow: LocalAirflow, client: AsyncAirflowClient, conf: dict[str, Any]
) -> tuple[str, dict[str, Any], str]:
    """Run ``sales_report`` and return its state, its final task instance and that one's log."""
    run_id = f"refused-{uuid.uuid4()}"
    run = await client.trigger_and_wait("sales_report", conf={"region": "APAC", **conf}, run_id=run_id, timeout=LONG)
    path = f"/api/v2/dags/sales_report/dagRuns/{run_id}/taskInstances/ringback_notify"
    with airflow.api() as api:
        instance = api.get(path).json()
        log = api.get(f"{path}/logs/{instance['try_number']}", headers={"accept": "application/json"}).text
    return run.state, instance, log


async def test_a_url_that_nobody_allowed(airflow: LocalAirflow, client: AsyncAirflowClient, line: Line) -> None:
    """Nothing is sent, the task fails at once and says how to allow it, and the run is green."""
    url = "http://127.0.0.1:9/elsewhere?token=do-not-log"
    state, instance, log = await run_and_read_log(airflow, client, {"callback_url": url})
    assert (state, instance["state"], instance["try_number"]) == ("success", "failed", 1)
    assert "does not allow http://127.0.0.1:9/elsewhere" in log
    assert r"add a pattern such as \"http://127.0.0.1:9/\" to \"allow\"" in log
    assert "connection ringback_default" in log
    assert "do-not-log" not in log


async def test_a_destination_that_does_not_exist(airflow: LocalAirflow, client: AsyncAirflowClient) -> None:
    """The missing connection is named, with the command that makes it."""
    callback = {"url": "https://portal.example/", "destination": "nowhere"}
    state, instance, log = await run_and_read_log(airflow, client, {"callback": callback})
    assert (state, instance["state"], instance["try_number"]) == ("success", "failed", 1)
    assert "there is no Airflow connection ringback_nowhere" in log
    assert "ringback keys new" in log


async def test_a_malformed_request(airflow: LocalAirflow, client: AsyncAirflowClient) -> None:
    """The member of conf that is wrong is named."""
    callback = {"url": "https://portal.example/", "event": ["failed"]}
    state, instance, log = await run_and_read_log(airflow, client, {"callback": callback})
    assert (state, instance["state"], instance["try_number"]) == ("success", "failed", 1)
    assert "callback.event" in log
    assert "known are url, correlation_id, destination, events" in log


async def test_a_caller_who_no_longer_waits(airflow: LocalAirflow, open_line: OpenLine) -> None:
    """A cancelled request is answered 410, and the final task stops after one attempt."""
    async with open_line() as line:
        handle = await line.receiver.trigger("long_job", conf={"parts": 1, "seconds": 2})
        assert await handle.cancel()
        path = f"/api/v2/dags/long_job/dagRuns/{handle.run_id}"
        with airflow.api() as api:

            async def ended() -> str | None:
                state = api.get(path).json()["state"]
                return state if state in ("success", "failed") else None

            assert await eventually(ended) == "success"
            instance = api.get(f"{path}/taskInstances/ringback_notify").json()
    assert (instance["state"], instance["try_number"]) == ("failed", 1)
    assert [exchange.status for exchange in line.of_run(handle.run_id)] == [410]


async def test_a_dead_receiver_does_not_run_a_dag_into_its_timeout(
    airflow: LocalAirflow, client: AsyncAirflowClient, receiver_port: int
) -> None:
    """Nobody listens and the DAG has a short timeout: the final task gives up in time, and the run is green."""
    conf = {"callback_url": f"http://127.0.0.1:{receiver_port}/nobody"}
    run_id = f"timeout-{uuid.uuid4()}"
    run = await client.trigger_and_wait("short_timeout", conf=conf, run_id=run_id, timeout=LONG)
    assert run.state == "success"
    with airflow.api() as api:
        path = f"/api/v2/dags/short_timeout/dagRuns/{run_id}/taskInstances/ringback_notify"
        assert api.get(path).json()["state"] == "failed"


async def test_a_context_without_the_run(airflow: LocalAirflow, client: AsyncAirflowClient, line: Line) -> None:
    """Airflow's minimal callback context has no conf: nothing is sent, nothing breaks, and the log says why."""
    run_id = f"minimal-{uuid.uuid4()}"
    conf = {"callback_url": line.receiver.callback_url}
    run = await client.trigger_and_wait("minimal_context", conf=conf, run_id=run_id, timeout=LONG)
    assert run.state == "success"

    async def logged() -> str | None:
        logs = "".join(path.read_text() for path in (airflow.home / "logs" / "dag_processor").rglob("*.log"))
        return logs if run_id in logs else None

    logs = await eventually(logged, within=60)
    assert f"run {run_id} is not reported by this callback: Airflow gave it no dag_run" in logs
    assert not line.of_run(run_id)
