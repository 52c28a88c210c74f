"""``make demo``: trigger runs on a real Airflow and be rung back when each ends.

Exit code 0 only if every expected completion was verified and matched.  With ``--keep`` (``make demo KEEP=1``) all of
it stays up until Ctrl-C, to look around.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from demo.calls import CALLS, Call, Heard
from demo.local_airflow import AirflowDied, LocalAirflow, free_port, terminated_as_interrupted
from demo.serving import serving
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient, CompletionTimeout, DagRun, Receiver, RunFailed, RunHandle

PATIENCE = 120.0
"""Seconds in which each run has surely ended, also on a slow machine."""

console = Console(highlight=False)


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo")
    parser.add_argument("--keep", action="store_true", help="leave everything up until Ctrl-C")
    keep = parser.parse_args().keep
    console.print(
        Panel(
            "A caller triggers DAG runs on a real Airflow and does [bold]not[/] poll.\n"
            "Airflow rings back with a signed event; the receiver verifies and matches it, and `await` returns.",
            title="Ringback",
            expand=False,
        )
    )
    key, port = PrivateKey.generate(), free_port()
    connection = {
        "conn_type": "ringback",
        "password": key.reveal(),
        "extra": {"allow": [f"http://127.0.0.1:{port}/"]},
    }
    settings = {"AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(connection)}
    with terminated_as_interrupted(), tempfile.TemporaryDirectory(prefix="ringback-demo-") as folder:
        home, dags = Path(folder) / "airflow", Path(__file__).parents[1] / "example_dags"
        home.mkdir()
        try:
            with LocalAirflow(home, dags, settings) as airflow:
                airflow.environment["AIRFLOW_CONN_RINGBACK_AIRFLOW"] = json.dumps(airflow.reader())
                started = time.monotonic()
                with console.status("starting Airflow") as status:
                    airflow.start(lambda step: status.update(f"{step} … (half a minute in all)"))
                console.print(f"A real Airflow is up at {airflow.url} after {time.monotonic() - started:.0f} s.")
                code = asyncio.run(make_calls(airflow, key, port, Path(folder), keep=keep))
                with console.status("stopping Airflow"):
                    airflow.stop()
        except AirflowDied as error:
            console.print(f"[red]Airflow did not start.[/] {error}", markup=True)
            return 1
        except KeyboardInterrupt:
            console.print("Interrupted; everything that was started is stopped.")
            return 130
    return code


async def make_calls(airflow: LocalAirflow, key: PrivateKey, port: int, folder: Path, *, keep: bool) -> int:
    """Start the caller's side, make every call at once, say what comes back as it comes, and return the exit code."""
    async with AsyncAirflowClient(
        airflow.url, username=airflow.username, password=airflow.password, timeout=60, trust_env=False
    ) as client:
        receiver = Receiver(
            callback_url=f"http://127.0.0.1:{port}/airflow/completions",
            keys=[key.public()],
            airflow=client,
            store=f"sqlite:///{folder / 'ringback.db'}",
            reconcile=(),  # what is shown is how Airflow rings
        )
        async with serving(receiver, port):
            console.print(f"The caller's receiver listens at {receiver.callback_url}.\n")
            # Airflow's API server can block itself for a minute when two requests write to SQLite at once.
            writing = asyncio.Lock()
            heard = await asyncio.gather(*(make_call(receiver, airflow, client, call, writing) for call in CALLS))
            code = conclude(heard)
            if keep:
                await look_around(airflow)
            else:
                console.print(
                    "make demo KEEP=1 leaves it up: Airflow's page Callbacks shows each delivery.", style="dim"
                )
            return code


async def look_around(airflow: LocalAirflow) -> None:
    """Say where there is something to see, and wait until somebody ends it."""
    console.print(
        f"\nEvery delivery, with its attempts: [bold]{airflow.url}/plugin/callbacks[/]\n"
        f"Sign in as {airflow.username} with {airflow.password}.  Ctrl-C stops everything.",
        markup=True,
    )
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, ended.set)
    try:
        await ended.wait()
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def make_call(
    receiver: Receiver, airflow: LocalAirflow, client: AsyncAirflowClient, call: Call, writing: asyncio.Lock
) -> Heard:
    """Trigger one run, wait to be rung back, then ask Airflow when the run really ended."""
    async with writing:
        handle = await receiver.trigger(call.dag_id, conf=call.conf)
    console.print(f"  [cyan]triggered[/] {call.dag_id}: {call.what}")
    if call.mark:
        await asyncio.to_thread(mark, airflow, handle, call.mark)  # once its task is at work, so after the triggers
    try:
        completion = await handle.completion(timeout=PATIENCE)
    except CompletionTimeout:
        console.print(f"  [red]silence[/]   {call.dag_id}: nothing came within {PATIENCE:.0f} s")
        return Heard(call=call)
    known = time.time()
    colour = "green" if completion.succeeded else "yellow"
    console.print(
        f"  [{colour}]rung back[/] {call.dag_id}: {completion.state}, reported by the {completion.reported_by}"
    )
    run = await ended_run(client, handle)
    ended = run.end_date.timestamp() if run.end_date else known
    return Heard(call=call, completion=completion, airflows_state=run.state, delay=known - ended)


def mark(airflow: LocalAirflow, handle: RunHandle, state: str) -> None:
    """Set a run's state through the API once its task is at work, as somebody would in Airflow's UI."""
    run = f"/api/v2/dags/{handle.dag_id}/dagRuns/{handle.run_id}"
    deadline = time.monotonic() + PATIENCE
    with airflow.api() as api:
        while time.monotonic() < deadline:
            tasks = api.get(f"{run}/taskInstances").raise_for_status().json()["task_instances"]
            if any(task["state"] == "running" for task in tasks):
                break
            time.sleep(0.3)
        api.patch(run, json={"state": state}).raise_for_status()
    console.print(f"  [magenta]marked[/]    {handle.dag_id}: {state}, through the API")


async def ended_run(client: AsyncAirflowClient, handle: RunHandle) -> DagRun:
    """Return the run once Airflow has closed it; the final task reports a moment earlier."""
    try:
        return await client.wait_for_run(handle.dag_id, handle.run_id, timeout=PATIENCE, poll_interval=0.2)
    except RunFailed as failed:
        return failed.run


def conclude(heard: Sequence[Heard]) -> int:
    """Print the table and return the exit code."""
    table = Table(title="\nWhat the caller knows", title_justify="left")
    for heading in ("DAG", "reported by", "state", "result, or what failed", "the caller knew", ""):
        table.add_column(heading, overflow="fold")
    for one in heard:
        table.add_row(*one.row())
    console.print(table)
    good = sum(one.as_expected for one in heard)
    console.print(
        "The first callback after a DAG processor's start takes some seconds longer: "
        "Airflow then loads the API behind its callbacks.",
        style="dim",
    )
    console.print(
        f"{good} of {len(heard)} completions came as expected: signed, verified, matched, and as Airflow has it."
    )
    return 0 if good == len(heard) else 1


if __name__ == "__main__":
    sys.exit(main())
