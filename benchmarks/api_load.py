"""What waiting costs Airflow's API server: 0, 100 and 500 callers on ``/wait`` and on ours, side by side.

A real Airflow on PostgreSQL.  Every caller waits for a run of a paused DAG, which never ends.  In each window of time a
probe asks for something small, again and again; its 95th percentile is what other users of the API feel, and the CPU
time of the API server's processes is what waiting takes.  The order of the windows is shuffled in every round.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks._airflow import Setting, callers_side, setting
from benchmarks._figures import Figure, keep, ratios, spread
from demo.local_relay import running_relay
from ringback_receiver import RunHandle

CALLERS = (100, 500)
PROBE_PAUSE = 0.05


@dataclass
class Seen:
    """What the windows of one kind showed: share of one core, and the probe's seconds."""

    cpu: list[float] = field(default_factory=list)
    p95: list[float] = field(default_factory=list)


@dataclass
class Bench:
    """What every window uses."""

    here: Setting
    http: httpx.AsyncClient
    handles: list[RunHandle]
    seconds: float

    async def window(self) -> tuple[float, float]:
        """Probe for a while; return the API server's share of a core and the probe's 95th percentile."""
        server = psutil.Process(self.here.airflow.process_id("api-server"))
        before, started = cpu_seconds(server), time.monotonic()
        taken = []
        while time.monotonic() - started < self.seconds:
            asked = time.monotonic()
            answer = await self.http.get("/api/v2/dags/bench_bare/dagRuns", params={"limit": 1})
            answer.raise_for_status()
            taken.append(time.monotonic() - asked)
            await asyncio.sleep(PROBE_PAUSE)
        cpu = (cpu_seconds(server) - before) / (time.monotonic() - started)
        return cpu, statistics.quantiles(taken, n=20)[-1]


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and everything below it."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


@asynccontextmanager
async def nobody(bench: Bench, callers: int) -> AsyncIterator[None]:
    """Let nobody wait, and no relay run."""
    yield


@asynccontextmanager
async def on_wait(bench: Bench, callers: int) -> AsyncIterator[None]:
    """Let callers read ``/wait`` at an interval of one second."""
    ready = asyncio.Semaphore(0)

    async def caller(handle: RunHandle) -> None:
        path = f"/api/v2/dags/bench_bare/dagRuns/{handle.run_id}/wait"
        async with bench.http.stream("GET", path, params={"interval": 1}, timeout=600) as answer:
            answer.raise_for_status()
            ready.release()
            async for _ in answer.aiter_lines():
                pass

    async with waiting([caller(handle) for handle in bench.handles[:callers]]):
        for _ in range(callers):
            await asyncio.wait_for(ready.acquire(), 120)
        yield


@asynccontextmanager
async def on_ours(bench: Bench, callers: int) -> AsyncIterator[None]:
    """Let callers await a completion, with a relay that sweeps."""
    async with waiting([handle.completion(timeout=600) for handle in bench.handles[:callers]]):
        with running_relay(bench.here.airflow.environment, bench.here.relays_log):
            await asyncio.sleep(8)  # its start is not what is measured
            yield


@asynccontextmanager
async def waiting(calls: list[Awaitable[object]]) -> AsyncIterator[None]:
    """Keep calls going until the block ends."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        yield
        if ended := [task for task in tasks if task.done()]:
            raise RuntimeError(f"{len(ended)} callers stopped waiting: {ended[0]}")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Kind = Callable[[Bench, int], contextlib.AbstractAsyncContextManager[None]]
WINDOWS: dict[str, tuple[Kind, int]] = {
    "nobody waits": (nobody, 0),
    **{f"{count} callers on /wait": (on_wait, count) for count in CALLERS},
    **{f"{count} callers on ringback": (on_ours, count) for count in CALLERS},
}


async def measure(here: Setting, rounds: int, seconds: float, seed: int) -> dict[str, Seen]:
    """Return what each kind of window showed."""
    seen = {name: Seen() for name in WINDOWS}
    order, chance = list(WINDOWS), random.Random(seed)
    async with callers_side(here) as caller:
        await caller.client.pause("bench_bare")
        handles = [await caller.receiver.trigger("bench_bare") for _ in range(max(CALLERS))]
        bench = Bench(here=here, http=caller.http, handles=handles, seconds=seconds)
        for number in range(1, rounds + 1):
            chance.shuffle(order)
            for name in order:
                kind, callers = WINDOWS[name]
                async with kind(bench, callers):
                    await asyncio.sleep(2)
                    cpu, p95 = await bench.window()
                seen[name].cpu.append(cpu)
                seen[name].p95.append(p95)
                await asyncio.sleep(2)
            print(f"  round {number} of {rounds}", flush=True)
    return seen


def main() -> None:
    """Print the table and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15, help="of one window")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with setting(Path(__file__).parent / "dags") as here:
        seen = asyncio.run(measure(here, arguments.rounds, arguments.seconds, arguments.seed))
    nobody, *others = seen
    print(f"The API server's CPU, and the 95th percentile of other requests, against when {nobody}:")
    figures = [
        figure
        for name in others
        for figure in (
            Figure.of(f"API server's CPU, {name} ÷ nobody", ratios(seen[name].cpu, seen[nobody].cpu)),
            Figure.of(f"other requests' p95, {name} ÷ nobody", ratios(seen[name].p95, seen[nobody].p95)),
        )
    ]
    details = {name: {"cpu": spread(of.cpu), "p95_seconds": spread(of.p95)} for name, of in seen.items()}
    print(f"kept in {keep('api_load', {'windows': details}, figures)}")


if __name__ == "__main__":
    main()
