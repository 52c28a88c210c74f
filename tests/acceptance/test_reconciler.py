"""Nobody listens at the callback URL: a real Airflow's own word resolves every request."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from conftest import LONG, eventually

from demo.local_airflow import LocalAirflow
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient, Receiver

pytestmark = pytest.mark.anyio


async def test_lost_callbacks_are_made_good(
    client: AsyncAirflowClient, airflow: LocalAirflow, key: PrivateKey, receiver_port: int, tmp_path: Path
) -> None:
    """Twenty runs that end well or badly, two of which ring in vain, and one that is deleted."""
    receiver = Receiver(
        f"http://127.0.0.1:{receiver_port}/airflow/completions",
        [key.public()],
        client,
        f"sqlite:///{tmp_path / 'ringback.db'}",
        reconcile=(3, 3),
    )
    async with receiver:
        fails = [number % 3 == 0 for number in range(20)]
        runs = [
            await receiver.trigger("callback_only" if number < 2 else "bare_usual", conf={"fail": fail})
            for number, fail in enumerate(fails)
        ]
        vanishing = await receiver.trigger("bare_usual", expected_duration=3_600)
        completions = await asyncio.gather(*(run.completion(timeout=2 * LONG) for run in runs))
        assert [completion.failed for completion in completions] == fails
        assert {completion.reported_by for completion in completions} == {"reconciler"}
        for completion in completions:
            run = await client.get_run(completion.dag_id, completion.run_id)
            assert (completion.state, completion.start_date, completion.end_date, completion.run_url) == (
                run.state,
                run.start_date,
                run.end_date,
                run.run_url,
            )

        async def ended() -> bool:
            return (await client.get_run("bare_usual", vanishing.run_id)).finished

        await eventually(ended)
        with airflow.api() as api:
            assert api.delete(f"/api/v2/dags/bare_usual/dagRuns/{vanishing.run_id}").status_code == 204
    # An hour later, after a restart.
    later = Receiver(
        receiver.callback_url,
        [key.public()],
        client,
        f"sqlite:///{tmp_path / 'ringback.db'}",
        clock=lambda: time.time() + 3_600,
    )
    async with later:
        deleted = await (await later.request(vanishing.request_id)).completion(timeout=LONG)
    assert (deleted.deleted, deleted.run_id) == (True, vanishing.run_id)
