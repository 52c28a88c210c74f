"""The relay inside Airflow: as a scheduled DAG, and in the triggerer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LONG, Line, destination, eventually, make_receiver, recording
from fastapi import FastAPI

from demo.local_airflow import LocalAirflow
from demo.local_postgres import LocalPostgres
from demo.local_relay import ringback
from demo.local_statsd import LocalStatsd
from demo.serving import serving_app
from ringback_notifier._metric_names import GAUGES, HEARTBEAT
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient

pytestmark = pytest.mark.anyio

DAGS = Path(__file__).parent / "relay_dags"


@pytest.fixture(scope="module")
def relays_statsd() -> Iterator[LocalStatsd]:
    """Where the metrics of that Airflow go."""
    with LocalStatsd() as listening:
        yield listening


@pytest.fixture(scope="module")
def relaying(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: LocalPostgres,
    relays_statsd: LocalStatsd,
    key: PrivateKey,
    receiver_port: int,
) -> Iterator[LocalAirflow]:
    """An Airflow with relays of its own, which read it with an account that may only look."""
    settings = {
        **destination(key, receiver_port),
        **relays_statsd.settings,
        "AIRFLOW__RINGBACK__OUTBOX_URL": postgres.create("relaying_outbox"),
        "AIRFLOW__RINGBACK__LISTENER": "False",
        "AIRFLOW__RINGBACK__SWEEP_INTERVAL": "1",
        "AIRFLOW__RINGBACK__CALLBACK_GRACE": "1",
    }
    airflow = LocalAirflow(
        tmp_path_factory.mktemp("relaying"), DAGS, settings, database=postgres.create("relaying_airflow")
    )
    with airflow:
        airflow.environment["AIRFLOW_CONN_RINGBACK_AIRFLOW"] = json.dumps(airflow.reader())
        assert ringback(airflow.environment, "outbox", "migrate") == "The outbox is up to date.\n"
        airflow.start()
        yield airflow


@pytest.fixture
async def caller(relaying: LocalAirflow, key: PrivateKey, receiver_port: int, tmp_path: Path) -> AsyncIterator[Line]:
    """A caller of that Airflow."""
    async with AsyncAirflowClient(
        relaying.url, username=relaying.username, password=relaying.password, timeout=60, trust_env=False
    ) as client:
        receiver = make_receiver(client, key, receiver_port, tmp_path)
        line = Line(receiver)
        app = FastAPI(lifespan=receiver.lifespan)
        app.include_router(receiver.router)
        async with serving_app(recording(app, line.exchanges), receiver_port):
            yield line


async def alive(airflow: LocalAirflow, kind: str) -> list[dict[str, Any]]:
    """Return the relays of one kind that ``ringback relay status`` calls alive."""
    said = await asyncio.to_thread(ringback, airflow.environment, "relay", "status", "--json")
    relays: list[dict[str, Any]] = json.loads(said)["relays"]
    return [relay for relay in relays if relay["alive"] and relay.get("kind") == kind]


async def all_measured(statsd: LocalStatsd) -> None:
    """Wait until a relay has told Airflow's metrics of its delivery, of itself and of the outbox."""
    wanted = [
        *(f"ringback.{name},destination=default,sender=relay:" for name in ("delivered", "latency")),
        *(f"{name}:" for name in (HEARTBEAT, *GAUGES)),
    ]

    async def measured() -> bool:
        return all(statsd.of(each) for each in wanted)

    await eventually(measured)


async def test_the_relay_dag_reports_a_run_that_nobody_else_saw(
    relaying: LocalAirflow, caller: Line, relays_statsd: LocalStatsd
) -> None:
    """Nothing in the DAG, no listener: the relay's sweep finds it, with an account that can only read."""
    handle = await caller.receiver.trigger("untouched")
    completion = await handle.completion(timeout=LONG)
    assert (completion.state, completion.reported_by, completion.failed_task_count) == ("success", "relay", None)
    assert await alive(relaying, "dag")
    await all_measured(relays_statsd)


async def test_the_relay_in_the_triggerer_survives_its_triggerer(
    relaying: LocalAirflow, caller: Line, relays_statsd: LocalStatsd
) -> None:
    """It is always on once its DAG is unpaused; after a ``kill -9`` it is back with the triggerer."""
    with relaying.api() as api:
        api.patch("/api/v2/dags/ringback_relay", json={"is_paused": True}).raise_for_status()
        for run in api.get("/api/v2/dags/ringback_relay/dagRuns", params={"state": "running"}).json()["dag_runs"]:
            api.patch(f"/api/v2/dags/ringback_relay/dagRuns/{run['dag_run_id']}", json={"state": "failed"})
        api.patch("/api/v2/dags/ringback_relay_watcher", json={"is_paused": False}).raise_for_status()
    first = await eventually(lambda: alive(relaying, "trigger"), every=1)
    relays_statsd.lines.clear()
    handle = await caller.receiver.trigger("untouched")
    assert (await handle.completion(timeout=LONG)).reported_by == "relay"
    await all_measured(relays_statsd)

    await asyncio.to_thread(relaying.kill_component, "triggerer")
    handle = await caller.receiver.trigger("untouched")
    relaying.start_component("triggerer")
    assert (await handle.completion(timeout=LONG)).reported_by == "relay"
    after = await eventually(lambda: alive(relaying, "trigger"), every=1)
    assert {relay["relay"] for relay in after} - {relay["relay"] for relay in first}
