"""What waiting costs: memory for each who waits, and how soon a waiter on another replica is woken.

Memory: tasks that wait for a completion against tasks that wait for a bare future, both bounded by a timeout of
asyncio's own making or ours.  Wake-up: two stores on one PostgreSQL; an event is recorded through one, its waiter is on
the other, and the poll is an hour away, so that only the notification wakes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from benchmarks._figures import Figure, at_most, keep, ratios, spread
from benchmarks._receiver_load import register
from benchmarks.receiver_servers import URL
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_protocol import CompletionData, CompletionEvent, encode_event
from ringback_receiver._matching import PendingRequest
from ringback_receiver._migrate import migrate
from ringback_receiver._run_handle import RunHandle
from ringback_receiver._store_url import store_from_url
from ringback_receiver._waiters import Waiters
from ringback_receiver.testing import MemoryStore

GOALS = {"bytes": at_most(300), "commits": at_most(3.0)}
_BLOCK = 25


def make_event(request_id: str) -> CompletionEvent:
    """Return an event that resolves a request."""
    data = CompletionData(
        dag_id="sales_report", run_id=f"ringback__{request_id}", state="success", reported_by="task", result=1
    )
    return CompletionEvent.of(
        data,
        id=f"msg_{request_id}",
        source="bench",
        audience=URL,
        correlationid=request_id,
        time=datetime.now(timezone.utc),
    )


async def bytes_each(count: int, wait: Callable[[int], Awaitable[object]]) -> float:
    """Return the bytes that a waiting task takes."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [asyncio.ensure_future(wait(number)) for number in range(count)]
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return taken / count


async def memory(count: int, order: Sequence[str]) -> dict[str, float]:
    """Return the bytes of a waiter and of a bare task, both with a timeout.

    :param order: in which the two are measured.
    """
    store = MemoryStore()
    await store.open()
    for number in range(count):
        request = PendingRequest(
            request_id=f"req_{number}", dag_id="sales", run_id=f"run_{number}", callback_url=URL, created_at=1.0
        )
        await store.register(request, handlers=[])
    waiters = Waiters(store, poll_interval=3600.0)
    tracked = await store.look_up([f"req_{number}" for number in range(count)])
    handles = [RunHandle(of.request, store, waiters) for of in tracked.values()]
    loop = asyncio.get_running_loop()

    async def bare(number: int) -> None:
        future = loop.create_future()
        alarm = loop.call_later(3600.0, future.cancel)
        try:
            await future
        finally:
            alarm.cancel()

    async def ours(number: int) -> None:
        await handles[number].completion(timeout=3600.0)

    ways = {"bare": bare, "ours": ours}
    found = {name: await bytes_each(count, ways[name]) for name in order}
    await waiters.close()
    await store.close()
    return found


async def wake_ups(url: str, samples: int) -> tuple[list[float], list[float]]:
    """Return milliseconds of commits, and from there to the waiter's waking on another replica."""
    here, there = store_from_url(url), store_from_url(url)
    await here.open()
    await there.open()
    waiters = Waiters(there, poll_interval=3600.0)
    commits: list[float] = []
    wakes: list[float] = []
    woken = 0.0

    async def wait(request_id: str) -> None:
        nonlocal woken
        await (await waiters.wait(request_id, timeout=10.0))
        woken = time.perf_counter()

    await asyncio.sleep(0.5)  # until both listen
    for number, request_id in enumerate(register(url, samples + 20)):
        waiting = asyncio.create_task(wait(request_id))
        await asyncio.sleep(0.01)
        event = make_event(request_id)
        began = time.perf_counter()
        await here.record(event, encode_event(event), received_at=time.time(), handlers=[])
        committed = time.perf_counter()
        await waiting
        if number >= 20:
            commits.append(1_000 * (committed - began))
            wakes.append(1_000 * (woken - committed))
    await waiters.close()
    await here.close()
    await there.close()
    return commits, wakes


def blocks(values: list[float]) -> list[float]:
    """Return the median of each block of successive samples, for a spread of medians."""
    return [statistics.median(values[start : start + _BLOCK]) for start in range(0, len(values), _BLOCK)]


def main() -> None:
    """Print the figures and keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5, help="of measuring memory")
    parser.add_argument("--samples", type=int, default=500, help="wake-ups")
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {"bare": [], "ours": []}
    for number in range(arguments.rounds + 1):
        # Each round has a loop and a store of its own, whose tables grow anew.
        order = ("bare", "ours") if number % 2 else ("ours", "bare")
        for name, found in asyncio.run(memory(arguments.waiters, order)).items():
            if number:  # in the first, asyncio's own set of all tasks grows, for whichever comes second
                taken[name].append(found)
    beyond = [ours - bare for ours, bare in zip(taken["ours"], taken["bare"], strict=True)]
    with (
        tempfile.TemporaryDirectory(prefix="ringback-bench-", ignore_cleanup_errors=True) as folder,
        LocalPostgres(Path(folder) / "postgres", free_port()) as postgres,
    ):
        url = postgres.create("wake")
        migrate(url)
        commits, wakes = asyncio.run(wake_ups(url, arguments.samples))
    figures = [
        Figure.of("memory of a waiter, beyond a task's on a bare future", beyond, "bytes", GOALS["bytes"]),
        Figure.of(
            "waking a waiter on another replica ÷ commit", ratios(blocks(wakes), blocks(commits)), goal=GOALS["commits"]
        ),
        Figure.of("waking a waiter on another replica, after the commit", wakes, "ms"),
    ]
    details = {
        "bytes": {name: spread(values) for name, values in taken.items()},
        "commit_ms": spread(commits),
        "wake_ms": spread(wakes),
    }
    print(f"kept in {keep('receiver_waiters', details, figures)}")


if __name__ == "__main__":
    main()
