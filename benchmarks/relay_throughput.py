"""How many due events a relay delivers per second of one core, and what a sweep over 100,000 runs costs.

Delivery: a full outbox, SQLite and PostgreSQL in turn, and a receiver on loopback in a process of its own that answers
204 and verifies nothing.  Wall time includes the receiver's work; CPU time is the relay's process alone, without
PostgreSQL's.

Sweep (``--sweep``): a real Airflow API server on PostgreSQL with 100,000 ended runs, of which 100 ended in the last
minutes: what one whole sweep of a relay takes, the first and every further one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from benchmarks._airflow import Setting, setting
from benchmarks._figures import Figure, at_least, keep, spread
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_notifier._destination import Destination, parse_destination
from ringback_notifier._report import Site
from ringback_notifier.outbox import Outbox, OutboxEvent, migrate
from ringback_notifier.relay import Relay
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._sweep import Sweep
from ringback_notifier.relay._tally import Tally
from ringback_protocol import PrivateKey

GOALS = {"a second of one core": at_least(1_000)}
RUNS = 100_000
RECENT = 100

_RECEIVER = """
import asyncio, sys

class Receiver(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while True:
            head, mark, rest = self.buffer.partition(b"\\r\\n\\r\\n")
            if not mark:
                return
            lines = head.lower().split(b"\\r\\n")
            (length,) = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")

async def main():
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextlib.contextmanager
def receiver(port: int) -> Iterator[None]:
    """Answer 204 to whatever comes, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", _RECEIVER, str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


def fill(outbox: Outbox, url: str, count: int, batch: int) -> None:
    """Put events of an ordinary size into an outbox, due now."""
    now = time.time()
    body = b'{"specversion":"1.0","data":{"result":"' + b"x" * 900 + b'"}}'
    events = [
        OutboxEvent(
            event_id=f"msg_bench{batch}x{number}",
            dag_id="bench",
            run_id=f"run_{number}",
            state="success",
            destination="default",
            url=url,
            body=body,
            reported_by="relay",
            ended_at=now,
        )
        for number in range(count)
    ]
    for start in range(0, count, 500):
        outbox.enqueue(events[start : start + 500], now=now)


async def drained(outbox: Outbox, destination: Destination, count: int) -> tuple[float, float]:
    """Deliver everything; return seconds of wall and of CPU time."""

    async def destinations(name: str) -> Destination:
        return destination

    relay = Relay(
        outbox=outbox,
        runs=None,
        destinations=destinations,
        site=Site(source="https://airflow.example", base_url="https://airflow.example"),
        settings=RelaySettings(),
    )
    stop = asyncio.Event()
    wall, cpu = time.monotonic(), time.process_time()
    draining = asyncio.create_task(relay.drain(None, stop=stop))
    while (await asyncio.to_thread(outbox.counts)).get("delivered", 0) < count:  # noqa: ASYNC110 - the relay says nothing
        await asyncio.sleep(0.1)
    taken = time.monotonic() - wall, time.process_time() - cpu
    stop.set()
    await draining
    return taken


def throughput(count: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return events a second, wall and CPU, by database."""
    key, port = PrivateKey.generate(), free_port()
    url = f"http://127.0.0.1:{port}/completions"
    destination = parse_destination(
        "default",
        conn_type="ringback",
        password=key.reveal(),
        extra=f'{{"allow": ["http://127.0.0.1:{port}/"]}}',
    )
    rates: dict[str, dict[str, list[float]]] = {
        name: {"per_cpu_second": [], "per_second": []} for name in ("SQLite", "PostgreSQL")
    }
    with tempfile.TemporaryDirectory(prefix="ringback-bench-") as name, receiver(port):
        folder = Path(name)
        with LocalPostgres(folder / "postgres", free_port()) as postgres:
            for number in range(rounds):
                urls = {
                    "SQLite": f"sqlite:///{folder / f'{number}.db'}",
                    "PostgreSQL": postgres.create(f"bench{number}"),
                }
                for database, outbox_url in urls.items():
                    if database == "PostgreSQL":
                        migrate(outbox_url)
                    outbox = Outbox.open(outbox_url, wait=10)
                    fill(outbox, url, count, number)
                    wall, cpu = asyncio.run(drained(outbox, destination, count))
                    outbox.close()
                    rates[database]["per_second"].append(count / wall)
                    rates[database]["per_cpu_second"].append(count / cpu)
    return rates


def many_runs(here: Setting) -> None:
    """Copy one ended run until there are 100,000, a few of them recent."""
    with psycopg.connect(here.postgres.url("airflow"), autocommit=True) as connection:
        columns = [
            row[0]
            for row in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'dag_run' "
                "AND column_name NOT IN ('id', 'run_id', 'updated_at', 'end_date', 'logical_date')"
            )
        ]
        names = ", ".join(f'"{column}"' for column in columns)
        moment = (
            f"now() - CASE WHEN n <= {RECENT} THEN interval '15 s' + interval '2 s' * n "
            "ELSE interval '1 hour' + interval '1 s' * n END"
        )
        connection.execute(
            f"INSERT INTO dag_run (run_id, updated_at, end_date, {names}) "
            f"SELECT 'copy_' || n, {moment}, {moment}, {names} "
            f"FROM (SELECT * FROM dag_run WHERE state = 'success' LIMIT 1) one, generate_series(1, {RUNS}) n".encode()
        )
        connection.execute("ANALYZE dag_run")


async def sweeps(here: Setting, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a whole sweep, the first and the further ones."""
    outbox = Outbox.open(here.airflow.environment["AIRFLOW__RINGBACK__OUTBOX_URL"], wait=10)
    runs = RunsApi(here.airflow.url, username=here.airflow.username, password=here.airflow.password)
    tally, database = Tally(), Database(outbox)
    sweep = Sweep(
        database=database,
        runs=runs,
        site=Site(source=here.airflow.url, base_url=here.airflow.url),
        settings=RelaySettings(sweep_interval=0.001),
        owner="bench",
        tally=tally,
        enqueued=lambda: None,
    )
    first: list[float] = []
    repeated: list[float] = []
    try:
        for number in range(rounds):
            started = time.monotonic()
            await sweep.step()
            (repeated if number else first).append(time.monotonic() - started)
        if tally.enqueued < RECENT:
            raise RuntimeError(f"the sweep found {tally.enqueued} of {RECENT} runs")
    finally:
        database.close()
        await runs.aclose()
        outbox.close()
    return {"the first sweep": first, "every further sweep": repeated}


def main() -> None:
    """Print the tables and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sweep", action="store_true", help="measure the sweep instead; starts Airflow")
    arguments = parser.parse_args()
    if arguments.sweep:
        with setting(Path(__file__).parent / "dags") as here:
            here.airflow.api().post(
                "/api/v2/dags/bench_bare/dagRuns",
                json={"logical_date": None, "conf": {"callback_url": here.callback_url}},
            ).raise_for_status()
            wait_for_the_run(here)
            many_runs(here)
            costs = asyncio.run(sweeps(here, 1 + 2 * arguments.rounds))
        figures = [Figure.of(f"{name} of {RUNS:,} ended runs", taken, "s") for name, taken in costs.items()]
        seconds = {name: spread(taken) for name, taken in costs.items()}
        print(f"kept in {keep('relay_sweep', {'seconds': seconds}, figures)}")
        return
    rates = throughput(arguments.events, arguments.rounds)
    goal = GOALS["a second of one core"]
    figures = [
        figure
        for database, of in rates.items()
        for figure in (
            Figure.of(f"relay, {database}, a second of one core", of["per_cpu_second"], "events/s", goal),
            Figure.of(f"relay, {database}, by the clock", of["per_second"], "events/s"),
        )
    ]
    details = {name: {kind: spread(values) for kind, values in of.items()} for name, of in rates.items()}
    print(f"kept in {keep('relay_throughput', {'events': details}, figures)}")


def wait_for_the_run(here: Setting) -> None:
    """Wait until the run to copy has ended."""
    with here.airflow.api() as api:
        for _ in range(600):
            found = api.get("/api/v2/dags/bench_bare/dagRuns", params={"state": "success"}).json()
            if found["total_entries"]:
                return
            time.sleep(0.2)
    raise RuntimeError("the run did not end")


if __name__ == "__main__":
    main()
