"""Reading Airflow's objects: the template context of a task or a callback, and connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ringback_notifier._compat import airflow_exceptions, async_connection
from ringback_notifier._destination import Destination, connection_id, parse_destination
from ringback_notifier._prediction import TaskInstance, TaskShape
from ringback_notifier._report import Ending, Result, Site
from ringback_notifier.errors import DestinationMissing
from ringback_protocol.event import RunState

__all__ = [
    "aload_destination",
    "declared_result",
    "ending_of",
    "load_destination",
    "materialised",
    "member",
    "task_shapes",
    "xcom_source",
]

_XCOM_KEY = "return_value"


def member(record: Any, name: str) -> Any:
    """Return a member of a ``dag_run``, which is an object in some contexts and a mapping in others."""
    return record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)


def ending_of(
    dag_run: Any,
    *,
    state: RunState,
    reason: str | None,
    task_instances: tuple[TaskInstance, ...] = (),
    result: Result,
) -> Ending:
    """Read what a context's ``dag_run`` knows of the run.

    :param state: final, or predicted.
    """
    return Ending(
        dag_id=member(dag_run, "dag_id"),
        run_id=member(dag_run, "run_id"),
        state=state,
        reason=reason,
        logical_date=_moment(member(dag_run, "logical_date")),
        run_after=_moment(member(dag_run, "run_after")),
        start_date=_moment(member(dag_run, "start_date")),
        end_date=_moment(member(dag_run, "end_date")),
        task_instances=task_instances,
        result=result,
    )


def task_shapes(dag: Any) -> dict[str, TaskShape]:
    """Return what the leaf rule needs to know of every task of a DAG."""
    return {
        task.task_id: TaskShape(
            downstream=frozenset(task.downstream_task_ids),
            is_teardown=task.is_teardown,
            on_failure_fail_dagrun=task.on_failure_fail_dagrun,
        )
        for task in dag.tasks
    }


def declared_result(dag: Any, ti: Any, site: Site) -> Result:
    """Return what the DAG itself declares as its result (``@result`` or ``dag.add_result``, Task SDK ≥ 1.3).

    One declaring task gives its value, several an object by task id, as Airflow's ``/wait`` endpoint has it.
    """
    names = sorted(task.task_id for task in dag.tasks if getattr(task, "returns_dag_result", False))
    if not names:
        return Result()
    values = {name: materialised(ti.xcom_pull(task_ids=name)) for name in names}
    if len(names) > 1:
        return Result(value=values)
    url = site.xcom_url(dag.dag_id, ti.run_id, names[0], _XCOM_KEY)
    return Result(value=values[names[0]], fetch_url=url)


def xcom_source(result: Any, dag_id: str, run_id: str, site: Site) -> str | None:
    """Return where the REST API serves an XComArg that stands for one task's XCom, before it is rendered."""
    operator, key = getattr(result, "operator", None), getattr(result, "key", None)
    if operator is None or not isinstance(key, str):
        return None
    return site.xcom_url(dag_id, run_id, operator.task_id, key)


def load_destination(name: str, *, conn_id: str | None = None) -> Destination:
    """Look up a destination's connection in Airflow.

    :param conn_id: of the connection, if not the usual.
    :raises DestinationError: if it is missing or malformed.
    """
    from airflow.sdk import Connection

    try:
        connection = Connection.get(conn_id or connection_id(name))
    except airflow_exceptions().AirflowNotFoundException:
        raise _missing(name) from None
    return _destination(name, connection)


async def aload_destination(name: str) -> Destination:
    """Look up a destination's connection from a trigger; the same as :func:`load_destination`."""
    try:
        connection = await async_connection(connection_id(name))
    except airflow_exceptions().AirflowNotFoundException:
        raise _missing(name) from None
    return _destination(name, connection)


def materialised(value: Any) -> Any:
    """Return a rendered value as plain lists, objects, texts and times.

    Mapped tasks give lazy XCom sequences, which are fetched here; Airflow's times are pendulum's.
    """
    if isinstance(value, Mapping):
        return {key: materialised(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return [materialised(item) for item in value]
    if isinstance(value, datetime):
        return datetime.fromisoformat(value.isoformat())
    return value


def _destination(name: str, connection: Any) -> Destination:
    return parse_destination(name, conn_type=connection.conn_type, password=connection.password, extra=connection.extra)


def _missing(name: str) -> DestinationMissing:
    return DestinationMissing(
        f"there is no Airflow connection {connection_id(name)}; `ringback keys new` prints the command that adds it"
    )


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value if isinstance(value, datetime) else None
