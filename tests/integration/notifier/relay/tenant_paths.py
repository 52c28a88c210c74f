"""The three ways on which an event leaves Airflow, driven as Airflow drives them, with real connections and sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG, BaseOperator
from relay_servers import FakeRun
from relay_world import QUICK, SITE, World, until

from ringback_notifier import CompletionNotifier, _context, notify_completion
from ringback_notifier.relay._relay import Relay
from ringback_notifier.relay._runs import RunsApi
from ringback_protocol import CallbackRequestError, SigningKey, parse_callback_request

__all__ = ["PATHS", "connection", "final_task"]

STARTED = datetime(2026, 7, 2, 0, 2, 58, tzinfo=timezone.utc)
Conf = Any


def connection(keys: Sequence[SigningKey], **extra: Any) -> str:
    """Return the value of an ``AIRFLOW_CONN_RINGBACK_…``."""
    password = " ".join(key.reveal() for key in keys)
    return json.dumps({"conn_type": "ringback", "password": password, "extra": extra})


def _context_of(conf: Conf, number: int, retries: int = 0) -> tuple[DAG, Any]:
    with DAG("d", schedule=None, start_date=STARTED) as dag:
        BaseOperator(task_id="a")
    run = SimpleNamespace(
        dag_id="d",
        run_id=f"ext__{number}",
        conf=conf,
        state="success",
        logical_date=None,
        run_after=STARTED,
        start_date=STARTED,
        end_date=STARTED,
    )
    ti = SimpleNamespace(
        dag_id="d",
        run_id=run.run_id,
        task_id="a",
        map_index=-1,
        state="success",
        task=dag.get_task("a"),
        try_number=1,
        max_tries=retries,
        get_task_breadcrumbs=lambda dag_id, run_id: [{"task_id": "a", "map_index": -1, "state": "success"}],
        get_task_states=lambda dag_id, *, run_ids: {run_ids[0]: {"a": "success"}},
        xcom_pull=lambda **_: None,
    )
    context = {"dag": dag, "dag_run": run, "run_id": run.run_id, "reason": "success", "ti": ti, "task_instance": ti}
    return dag, context


def final_task(conf: Conf, number: int, retries: int = 0) -> Any:
    """Run the final task of one run; what it raises is raised.

    :param retries: that are left.
    """
    dag, context = _context_of(conf, number, retries)
    return notify_completion(dag=dag).execute(context)


def _final_tasks(world: World, confs: Sequence[Conf]) -> None:
    for number, conf in enumerate(confs):
        with suppress(Exception):  # what it refuses is not what is looked at
            final_task(conf, number)


def _callbacks(world: World, confs: Sequence[Conf]) -> None:
    for number, conf in enumerate(confs):
        CompletionNotifier()(_context_of(conf, number)[1])


def _async_callbacks(world: World, confs: Sequence[Conf]) -> None:
    async def call(number: int, conf: Conf) -> None:
        notifier = CompletionNotifier()
        notifier.context = _context_of(conf, number)[1]
        await notifier

    async def call_all() -> None:
        for number, conf in enumerate(confs):
            await call(number, conf)

    asyncio.run(call_all())


def _relay(world: World, confs: Sequence[Conf]) -> None:
    airflow = world.airflow()
    at = time.time() - 1
    airflow.runs += [
        FakeRun(dag_id="d", run_id=f"ext__{number}", conf=conf, start=at - 12, end=at, updated_at=at)
        for number, conf in enumerate(confs)
    ]

    async def sweep() -> None:
        relay = Relay(
            outbox=world.outbox,
            runs=RunsApi(airflow.base, username="relay", password="hush"),
            destinations=_context.aload_destination,
            site=SITE,
            settings=QUICK,
        )
        stop = asyncio.Event()
        draining = asyncio.create_task(relay.drain(60, stop=stop))
        try:
            wanted = sum(_asks(conf) for conf in confs)
            await until(lambda: sum(world.outbox.counts().values()) >= wanted and not _under_way(world), 60)
        finally:
            stop.set()
            await draining

    asyncio.run(sweep())


def _under_way(world: World) -> int:
    """Return how many events have not been tried yet."""
    rows = world.rows("due", "leased")
    return sum(not world.attempts(row.event_id) for row in rows)


def _asks(conf: Conf) -> bool:
    """Tell whether a run gets a row in the outbox."""
    try:
        return parse_callback_request(conf) is not None
    except CallbackRequestError:
        return False


PATHS: dict[str, Callable[[World, Sequence[Conf]], None]] = {  # each reports one ended run for each conf
    "final task": _final_tasks,
    "callback": _callbacks,
    "async callback": _async_callbacks,
    "relay": _relay,
}
