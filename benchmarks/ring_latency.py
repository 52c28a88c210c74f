"""How long after a run's end the caller knows: polling, Airflow's ``/wait``, and each of our paths, side by side.

A real Airflow on PostgreSQL.  In every round one run a way starts, each taking a random time; when the end was
committed is read from PostgreSQL itself (``pg_xact_commit_timestamp``), so that negative figures are honest: the final
task reports before Airflow has closed the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks._airflow import Setting, callers_side, setting
from benchmarks._figures import Figure, at_most, keep, spread
from demo.local_relay import running_relay
from ringback_receiver import AsyncAirflowClient, Receiver

Way = Callable[["Round"], Awaitable[tuple[str, float]]]
LONG = 120.0
ENDED = ("success", "failed")
GOALS = {"ringback: listener + relay": at_most(0.1)}


class Round:
    """One round: what its ways share."""

    def __init__(self, receiver: Receiver, client: AsyncAirflowClient, http: httpx.AsyncClient, chance: random.Random):
        self.receiver = receiver
        self.client = client
        self.http = http
        self.chance = chance

    def conf(self) -> dict[str, Any]:
        """Let a run take from one to six seconds, so that its end comes anywhere between two polls."""
        return {"seconds": self.chance.uniform(1, 6)}

    async def plain_run(self) -> str:
        """Trigger a run that asks for no callback, and return its path in the API."""
        run = await self.client.trigger("bench_bare", conf=self.conf())
        return f"/api/v2/dags/bench_bare/dagRuns/{run.run_id}"


async def polling(this: Round) -> tuple[str, float]:
    """Ask for the run's state every five seconds."""
    path = await this.plain_run()
    while True:
        answer = (await this.http.get(path)).raise_for_status().json()
        if answer["state"] in ENDED:
            return path.rpartition("/")[2], time.time()
        await asyncio.sleep(5)


def wait_endpoint(interval: float) -> Way:
    """Read ``/wait``, which Airflow's API server polls the database for."""

    async def way(this: Round) -> tuple[str, float]:
        path = await this.plain_run()
        async with this.http.stream("GET", f"{path}/wait", params={"interval": interval}, timeout=LONG) as answer:
            async for line in answer.aiter_lines():
                if line and json.loads(line)["state"] in ENDED:
                    return path.rpartition("/")[2], time.time()
        raise RuntimeError("/wait ended without a final state")

    return way


def rung(dag_id: str) -> Way:
    """Trigger with a callback, and await the completion."""

    async def way(this: Round) -> tuple[str, float]:
        handle = await this.receiver.trigger(dag_id, conf=this.conf())
        completion = await handle.completion(timeout=LONG)
        known = time.time()
        expected = {"bench_task": "task", "bench_callback": "callback", "bench_bare": "listener"}[dag_id]
        if completion.reported_by != expected:
            raise RuntimeError(f"{dag_id} was reported by the {completion.reported_by}, not by the {expected}")
        return handle.run_id, known

    return way


WAYS: dict[str, Way] = {
    "polling every 5 s": polling,
    "/wait, interval 1 s": wait_endpoint(1),
    "/wait, interval 0.1 s": wait_endpoint(0.1),
    "ringback: final task": rung("bench_task"),
    "ringback: DAG-run callback": rung("bench_callback"),
    "ringback: listener + relay": rung("bench_bare"),
}


async def measure(here: Setting, rounds: int, seed: int) -> dict[str, list[float]]:
    """Return seconds from the committed end to the caller's knowing, by way."""
    delays: dict[str, list[float]] = {name: [] for name in WAYS}
    chance = random.Random(seed)
    async with callers_side(here) as caller:
        for number in range(rounds + 1):
            this = Round(caller.receiver, caller.client, caller.http, chance)
            known = await asyncio.gather(*(way(this) for way in WAYS.values()))
            await asyncio.sleep(1)
            if number == 0:
                continue  # the first callback of a DAG processor's life takes seconds longer
            for name, (run_id, moment) in zip(WAYS, known, strict=True):
                delays[name].append(moment - committed(here, run_id))
            print(f"  round {number} of {rounds}", flush=True)
    return delays


def committed(here: Setting, run_id: str) -> float:
    """Return when the transaction that ended the run was committed, in Unix seconds."""
    query = "SELECT state, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM dag_run WHERE run_id = %s"
    with psycopg.connect(here.postgres.url("airflow")) as connection:
        row = connection.execute(query, [run_id]).fetchone()
    if row is None or row[0] not in ENDED:
        raise RuntimeError(f"run {run_id} has not ended: {row}")
    return float(row[1])


def main() -> None:
    """Print the table and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with (
        setting(Path(__file__).parent / "dags") as here,
        running_relay(here.airflow.environment, here.relays_log),
    ):
        delays = asyncio.run(measure(here, arguments.rounds, arguments.seed))
    print("End of run committed -> caller knows, in seconds:")
    figures = [Figure.of(name, values, "s", GOALS.get(name)) for name, values in delays.items()]
    seconds = {name: spread(values) for name, values in delays.items()}
    print(f"kept in {keep('ring_latency', {'seconds': seconds}, figures)}")


if __name__ == "__main__":
    main()
