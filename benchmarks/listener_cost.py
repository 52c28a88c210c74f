"""What the listener costs the scheduler: the time that Airflow's call of the hook takes, on the calling thread.

The run is Airflow's own ORM object, loaded from a fresh SQLite metadata database, and the hook is called by Airflow's
own listener manager.  Only the scheduler around it is missing: a loop that keeps the interpreter busy stands for it,
so that the writing thread has to fight for its turn as it does there.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import shutil
import socket
import sqlite3
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure, at_most, keep, spread

GOALS = {"milliseconds": at_most(1.0)}
_BLOCKS = 5
_NONE = "no listener: Airflow's own share"
_BETWEEN_SECONDS = 0.001
_URL = "https://portal.example/airflow/completions"


@contextlib.contextmanager
def airflow_home() -> Iterator[Path]:
    """Give Airflow a home that is gone afterwards; before Airflow is imported."""
    home = Path(tempfile.mkdtemp(prefix="ringback-bench-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(
        {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW__API__BASE_URL": "https://airflow.example",
        }
    )
    warnings.simplefilter("ignore")
    yield home


def stored_runs() -> tuple[Any, Any]:
    """Return two runs as the scheduler has them, one that asks for no callback and one that does."""
    import airflow.models
    from airflow import settings
    from airflow.models.base import Base
    from airflow.models.dagrun import DagRun
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    airflow_untyped: Any = settings
    airflow_untyped.configure_orm()
    airflow_untyped = airflow.models
    airflow_untyped.import_all_models()
    Base.metadata.create_all(settings.engine)
    dag = DagSerialization.from_dict(DagSerialization.to_dict(DAG("sales_report", schedule=None)))
    now = datetime.now(timezone.utc)
    conf = {"region": "APAC", "rows": list(range(100))}
    with Session(settings.engine) as session:
        for run_id, callback in (("without", {}), ("with", {"callback": {"url": _URL, "correlation_id": "req_1"}})):
            run = DagRun(
                "sales_report", run_id, start_date=now, run_after=now, run_type="manual", conf={**conf, **callback}
            )
            run.log_template_id = None
            session.add(run)
        session.commit()
    session = Session(settings.engine, expire_on_commit=False)  # as Airflow's own
    runs = {run.run_id: run for run in session.scalars(select(DagRun))}
    for run in runs.values():
        run.dag = dag
    return runs["without"], runs["with"]


def busy(seconds: float) -> None:
    """Keep the interpreter busy."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def samples(hook: Any, run: Any, count: int, between: float) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each of so many calls, by the wall clock and of this thread's own processor time."""
    elapsed, worked = [], []
    for number in range(count):
        run.__dict__["run_id"] = f"r{number}"  # every call another run, without telling SQLAlchemy
        started, began = time.perf_counter(), time.thread_time()
        hook.on_dag_run_success(dag_run=run, msg="success")
        worked.append((time.thread_time() - began) * 1_000)
        elapsed.append((time.perf_counter() - started) * 1_000)
        busy(between)
    return elapsed, worked


@contextlib.contextmanager
def writing_to(url: str, idle: float) -> Iterator[None]:
    """Let the listener write to one outbox."""
    from ringback_notifier import _listener
    from ringback_notifier._hint_sink import OutboxSink
    from ringback_notifier._hint_writer import HintWriter
    from ringback_notifier.outbox import Outbox

    writer = HintWriter(OutboxSink(lambda: Outbox.open(url, wait=2.0)), idle=idle)
    listener: Any = _listener
    real = listener.hint_writer
    listener.hint_writer = lambda: writer
    try:
        yield
        writer.flush(10.0)
    finally:
        listener.hint_writer = real


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of an SQLite file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def mute_server() -> Iterator[str]:
    """Give the URL of a PostgreSQL that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://ringback@127.0.0.1:{server.getsockname()[1]}/ringback"


def percentiles(elapsed: list[float]) -> list[float]:
    """Return the 99th percentile of each of a few blocks of successive calls, for a spread of them."""
    size = len(elapsed) // _BLOCKS
    return [
        statistics.quantiles(elapsed[start : start + size], n=100, method="inclusive")[-1]
        for start in range(0, size * _BLOCKS, size)
    ]


def main() -> None:
    """Print the figures and keep them; the exit code tells nothing, for timings are no test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000, help="a row (default: 2000)")
    parser.add_argument("--no-postgres", action="store_true", help="leave out the rows that need a PostgreSQL")
    arguments = parser.parse_args()
    with airflow_home() as home:
        found = measure(home, arguments.calls, postgres=not arguments.no_postgres)
    print(f"Time of one call on the scheduler's thread, {arguments.calls} calls a row.  A call that is much longer by")
    print("the clock than of its own work was interrupted: by the writing thread, or by another process.")
    figures = []
    for name, (elapsed, _) in found.items():
        goal = None if name == _NONE else GOALS["milliseconds"]
        figures.append(Figure.of(f"{name}: 99th percentile of a call", percentiles(elapsed), "ms", goal))
    milliseconds = {name: {"elapsed": spread(all_), "own": spread(own)} for name, (all_, own) in found.items()}
    print(f"kept in {keep('listener_cost', {'milliseconds': milliseconds}, figures)}")


def measure(home: Path, calls: int, *, postgres: bool) -> dict[str, tuple[list[float], list[float]]]:
    """Return the milliseconds of each call, by the clock and of its own work, for each situation."""
    without, asking = stored_runs()

    from airflow._shared.listeners import listener
    from airflow.listeners.spec import dagrun

    from ringback_notifier import _listener
    from ringback_notifier.outbox import Outbox

    logging.disable(logging.WARNING)

    def manager() -> Any:
        airflow_untyped: Any = listener
        made = airflow_untyped.ListenerManager()
        made.add_hookspecs(dagrun)
        return made

    bare, ours = manager(), manager()
    ours.add_listener(_listener)
    path = home / "outbox.db"
    sqlite_url = f"sqlite:///{path}"
    Outbox.open(sqlite_url, wait=10.0).close()

    found: dict[str, tuple[list[float], list[float]]] = {}

    def row(name: str, url: str, run: Any = asking, hook: Any = ours.hook, *, thread_each_time: bool = False) -> None:
        between = 20 * _BETWEEN_SECONDS if thread_each_time else _BETWEEN_SECONDS
        with writing_to(url, idle=0.001 if thread_each_time else 0.2):
            samples(hook, run, 20, between)
            found[name] = samples(hook, run, calls // 10 if thread_each_time else calls, between)

    row(_NONE, sqlite_url, hook=bare.hook)
    row("listener, run without callback", sqlite_url, run=without)
    row("listener, SQLite", sqlite_url)
    row("listener, SQLite, its thread started by every call", sqlite_url, thread_each_time=True)
    with locked(path):
        row("listener, SQLite locked by another", sqlite_url)
    with mute_server() as url:
        row("listener, PostgreSQL that is mute", url)
    row("listener, PostgreSQL that is down", "postgresql://ringback@127.0.0.1:1/ringback")
    if postgres:
        with_postgres(home, row)
    return found


def with_postgres(home: Path, row: Callable[[str, str], None]) -> None:
    """Measure the row that needs a server."""
    from demo.local_postgres import LocalPostgres
    from ringback_notifier.outbox import migrate

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with LocalPostgres(home / "postgres", port) as server:
        url = server.create("ringback")
        migrate(url)
        row("listener, PostgreSQL", url)


if __name__ == "__main__":
    main()
