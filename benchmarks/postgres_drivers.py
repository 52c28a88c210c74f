"""Which driver makes a batch of events durable faster: asyncpg or psycopg 3, both from one event loop.

One statement inserts a whole batch and is a transaction of its own; the drivers take turns, batch size by batch size.
What counts is the CPU time of the process, which the receiver's endpoint has to share, and the wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import psycopg

from benchmarks._figures import Figure, keep, ratios, spread
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres

SIZES = (1, 16, 64)
_BODY = b"x" * 900
_TABLE = "CREATE TABLE events (event_id text PRIMARY KEY, run_id text, received_at float8, body bytea)"

Rows = tuple[list[str], list[str], list[float], list[bytes]]
Insert = Callable[[Rows], Awaitable[object]]


def rows(driver: str, number: int, size: int) -> Rows:
    """Return the columns of a batch that nobody has inserted yet."""
    names = [f"{driver}_{number}_{size}_{n}" for n in range(size)]
    return names, names, [float(number)] * size, [_BODY] * size


async def measure(url: str, rounds: int, batches: int) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return milliseconds of wall and of CPU time a batch, by batch size and driver."""
    statement = await (ours := await asyncpg.connect(url)).prepare(
        "INSERT INTO events SELECT * FROM unnest($1::text[], $2::text[], $3::float8[], $4::bytea[])"
    )
    theirs = await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0)
    inserting = b"INSERT INTO events SELECT * FROM unnest(%b::text[], %b::text[], %b::float8[], %b::bytea[])"
    ways: dict[str, Insert] = {
        "asyncpg": lambda columns: statement.fetch(*columns),
        "psycopg": lambda columns: theirs.execute(inserting, columns),
    }
    taken: dict[str, dict[str, dict[str, list[float]]]] = {}
    for number in range(rounds + 1):
        for size in SIZES:
            for driver, insert in ways.items():
                work = [rows(driver, number * batches + batch, size) for batch in range(batches)]
                wall, cpu = time.perf_counter(), time.process_time()
                for columns in work:
                    await insert(columns)
                cost = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
                if number:  # the first warms up
                    of = taken.setdefault(str(size), {}).setdefault(driver, {"wall": [], "cpu": []})
                    for kind, seconds in cost.items():
                        of[kind].append(1_000 * seconds / batches)
    await ours.close()
    await theirs.close()
    return taken


def main() -> None:
    """Print the table and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=50, help="a round")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ringback-bench-", ignore_cleanup_errors=True) as folder,
        LocalPostgres(Path(folder) / "postgres", free_port()) as postgres,
    ):
        url = postgres.create("drivers")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_TABLE.encode())
        found = asyncio.run(measure(url, arguments.rounds, arguments.batches))
    figures = [
        Figure.of(f"CPU of a batch of {size}: psycopg ÷ asyncpg", ratios(of["psycopg"]["cpu"], of["asyncpg"]["cpu"]))
        for size, of in found.items()
    ]
    milliseconds = {
        size: {driver: {kind: spread(values) for kind, values in kinds.items()} for driver, kinds in of.items()}
        for size, of in found.items()
    }
    print(f"kept in {keep('postgres_drivers', {'milliseconds': milliseconds}, figures)}")


if __name__ == "__main__":
    main()
