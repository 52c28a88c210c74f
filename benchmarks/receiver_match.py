"""Whether finding an event's request takes longer when very many wait: a million against a thousand.

Two stores of each kind, one with a thousand pending requests and one with a million, take the same events in turns: one
by one, and by the hundred and more at once, as after an outage.  Each event resolves a request, durably.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import psycopg

from benchmarks._figures import Figure, at_most, keep, ratios, spread
from benchmarks.receiver_servers import URL
from benchmarks.receiver_throughput import prepared
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_protocol import CompletionData, CompletionEvent, encode_event
from ringback_receiver._matching import Transition
from ringback_receiver._migrate import migrate
from ringback_receiver._store import Store
from ringback_receiver._store_url import store_from_url

FEW, MANY = 1_000, 1_000_000
GOALS = {
    ("SQLite", "single"): at_most(1.3),
    ("PostgreSQL", "single"): at_most(1.3),
    ("PostgreSQL", "batched"): at_most(1.5),
}
_WIDTH = 26
_COLUMNS = (
    "INSERT INTO requests (request_id, dag_id, run_id, callback_url, created_at, metadata, state, triggers, "
    "checks, confirmed)"
)
_VALUES = f"SELECT {{name}}, 'sales', {{name}}, '{URL}', n, 'null', 'pending', 1, 0, false"


def fill(url: str, count: int) -> None:
    """Make pending requests whose ids are in the order of time, as ours are."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            name = f"'req_' || lpad(n::text, {_WIDTH}, '0')"
            rows = f"{_VALUES.format(name=name)} FROM generate_series(1, {count}) n"
            connection.execute(f"{_COLUMNS.replace('requests', 'ringback.requests', 1)} {rows}".encode())
            connection.execute(b"CHECKPOINT")
        return
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
        values = _VALUES.format(name=f"'req_' || printf('%0{_WIDTH}d', n)")
        numbers = f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
        file.execute(f"{numbers} {_COLUMNS} {values} FROM numbers")


def make_event(number: int) -> CompletionEvent:
    """Return an event that resolves a request."""
    request_id = f"req_{number:0{_WIDTH}d}"
    return CompletionEvent.of(
        CompletionData(dag_id="sales", run_id=request_id, state="success", reported_by="task"),
        id=f"msg_{number:0{_WIDTH}d}",
        source="bench",
        audience=URL,
        correlationid=request_id,
        time=datetime.now(timezone.utc),
    )


async def taken(store: Store, numbers: Sequence[int], *, at_once: int) -> float:
    """Return milliseconds an event."""
    events = [(event, encode_event(event)) for event in map(make_event, numbers)]
    began = time.perf_counter()
    for start in range(0, len(events), at_once):
        outcomes = await asyncio.gather(
            *(
                store.record(event, body, received_at=1.0, handlers=[])
                for event, body in events[start : start + at_once]
            )
        )
        if any(outcome.transition is not Transition.RESOLVE for outcome in outcomes):
            raise RuntimeError("an event did not resolve its request")
    return 1_000 * (time.perf_counter() - began) / len(events)


async def measure(
    urls: dict[str, dict[int, str]], rounds: int, chance: random.Random
) -> dict[tuple[str, str], dict[int, list[float]]]:
    """Return milliseconds by store and manner, and by how many are pending."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for kind, of in urls.items():
        stores = {count: store_from_url(url) for count, url in of.items()}
        left = {count: chance.sample(range(1, count + 1), min(count, 100_000)) for count in of}
        for store in stores.values():
            await store.open()
        for turn in range(rounds + 1):
            for manner, events, at_once in (("single", 10, 1), ("batched", 50, 50)):
                for count in chance.sample(list(stores), len(stores)):
                    numbers = [left[count].pop() for _ in range(events)]
                    milliseconds = await taken(stores[count], numbers, at_once=at_once)
                    if turn:
                        found.setdefault((kind, manner), {}).setdefault(count, []).append(milliseconds)
        for store in stores.values():
            await store.close()
    return found


def main() -> None:
    """Print the ratios and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="at most 15: a thousand requests are soon used up")
    parser.add_argument("--many", type=int, default=MANY)
    arguments = parser.parse_args()
    counts = (FEW, arguments.many)
    with (
        tempfile.TemporaryDirectory(prefix="ringback-bench-", ignore_cleanup_errors=True) as folder,
        LocalPostgres(Path(folder) / "postgres", free_port()) as postgres,
    ):
        urls: dict[str, dict[int, str]] = {"SQLite": {}, "PostgreSQL": {}}
        for count in counts:
            urls["SQLite"][count] = f"sqlite:///{folder}/{count}.db"
            asyncio.run(prepared(urls["SQLite"][count]))
            urls["PostgreSQL"][count] = postgres.create(f"match{count}")
            migrate(urls["PostgreSQL"][count])
        for of in urls.values():
            for count, url in of.items():
                fill(url, count)
        found = asyncio.run(measure(urls, arguments.rounds, random.Random(1)))
    figures, milliseconds = [], {}
    for (kind, manner), of_counts in found.items():
        few, many = (of_counts[count] for count in counts)
        name = f"match, {kind}, {manner}: {arguments.many:,} pending ÷ {FEW:,} pending"
        figures.append(Figure.of(name, ratios(many, few), goal=GOALS.get((kind, manner))))
        milliseconds[f"{kind}, {manner}"] = {str(count): spread(of_counts[count]) for count in counts}
    print(f"kept in {keep('receiver_match', {'milliseconds': milliseconds}, figures)}")


if __name__ == "__main__":
    main()
