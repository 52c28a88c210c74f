"""Where Airflow's versions differ: the one place that knows.  Loaded when a DAG is parsed, so it stays light."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback_notifier._prediction import TaskInstance

__all__ = [
    "airflow_conf",
    "airflow_exceptions",
    "airflow_stats",
    "async_connection",
    "base_hook",
    "retry_settings",
    "server_connection",
    "shows_external_views",
    "task_instances_in_callback",
    "task_instances_in_worker",
]


def airflow_conf() -> Any:
    """Return Airflow's configuration: in the SDK from 1.2 on, in the core before."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:  # Task SDK < 1.2
        from airflow.configuration import conf
    return conf


def airflow_exceptions() -> Any:
    """Return the module with Airflow's exceptions: in the SDK from 1.2 on, in the core before."""
    module = importlib.import_module("airflow.sdk.exceptions")
    if not hasattr(module, "AirflowFailException"):  # Task SDK < 1.2
        return importlib.import_module("airflow.exceptions")
    return module


def airflow_stats() -> Any:
    """Return what has Airflow's ``incr``, ``gauge`` and ``timing``, set up as Airflow's configuration says.

    In the core before 3.2, where it sets itself up.  Later it is in the SDK, and the process has to do it; a worker
    does, ``ringback relay`` and, for the SDK's copy, the triggerer do not.
    """
    try:
        from airflow.sdk._shared.observability.metrics import stats
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
    except ImportError:  # Task SDK < 1.2
        from airflow.stats import Stats  # type: ignore[attr-defined,unused-ignore]

        return Stats
    if hasattr(stats, "incr"):
        if stats._factory is None:
            legacy = airflow_conf().getboolean("metrics", "legacy_names_on", fallback=True)
            stats.initialize(factory=get_stats_factory(), export_legacy_names=legacy)
        return stats
    older: Any = stats.Stats  # Task SDK 1.2
    if older.factory is None:
        older.initialize(factory=get_stats_factory(older))  # type: ignore[call-arg]
    return older


async def async_connection(conn_id: str) -> Any:
    """Return an Airflow connection without blocking the event loop: in a thread before SDK 1.1."""
    from airflow.sdk import Connection

    if hasattr(Connection, "async_get"):
        return await Connection.async_get(conn_id)
    import asyncio

    return await asyncio.to_thread(Connection.get, conn_id)


def base_hook() -> Any:
    """Return ``BaseHook``: in the SDK from 1.1 on, in the core before."""
    try:
        module = importlib.import_module("airflow.sdk.bases.hook")
    except ImportError:  # Task SDK < 1.1
        module = importlib.import_module("airflow.hooks.base")
    return module.BaseHook


def server_connection(conn_id: str) -> Any:
    """Return an Airflow connection as the API server sees it, or ``None``.

    Airflow's own ``Connection.get_connection_from_secrets`` calls a connection missing if a secrets back end or the
    database fails.  Here that is an error: that there is none, and that nobody knows, are two things.

    :raises Exception: what a back end failed with, if no other has the connection.
    """
    from airflow.configuration import ensure_secrets_loaded

    failure: Exception | None = None
    for backend in ensure_secrets_loaded():
        try:
            connection = backend.get_connection(conn_id=conn_id)
        except Exception as error:
            if type(error).__name__ == "AirflowSecretsBackendAccessDenied":  # Airflow ≥ 3.3: no other is to be asked
                raise
            failure = failure or error
        else:
            if connection is not None:
                return connection
    if failure is not None:
        raise failure
    return None


def shows_external_views() -> bool:
    """Tell whether Airflow's UI shows a plugin's page, and its session cookie opens it: from 3.1.1 on.

    3.1.0 shows it, but moves the session into the browser's storage, where no page's request takes it from.
    """
    from airflow import __version__

    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", __version__)
    return numbers is not None and tuple(map(int, numbers.groups())) >= (3, 1, 1)


def task_instances_in_worker(ti: Any, dag_id: str, run_id: str) -> tuple[TaskInstance, ...]:
    """Ask Airflow, from a worker, for the states of a run's task instances.

    :param ti: the runtime task instance; it tells map indexes from SDK 1.2.2 on.
    """
    from ringback_notifier._prediction import TaskInstance

    if hasattr(ti, "get_task_breadcrumbs"):
        return tuple(
            TaskInstance(task_id=crumb["task_id"], map_index=crumb["map_index"], state=crumb["state"])
            for crumb in ti.get_task_breadcrumbs(dag_id, run_id)
        )
    return _from_states(ti.get_task_states(dag_id, run_ids=[run_id]), run_id, ti.task.dag.task_dict)


def task_instances_in_callback(ti: Any, dag_id: str, run_id: str) -> tuple[TaskInstance, ...] | None:
    """Ask Airflow, from a DAG callback, for the states of a run's task instances.

    :returns: ``None`` where the DAG processor does not answer that question.  A question that it does not
        know is left without any answer, and the callback would hang until it is killed: hence the look
        at ``airflow/dag_processing/processor.py``, ``ToManager``, first.
    """
    try:
        from airflow.dag_processing.processor import ToManager
    except ImportError:
        return None
    if "GetTaskStates" not in repr(ToManager):
        return None
    return _from_states(ti.get_task_states(dag_id, run_ids=[run_id]), run_id, ti.task.dag.task_dict)


def _from_states(
    answer: dict[str, dict[str, str | None]], run_id: str, task_ids: Iterable[str]
) -> tuple[TaskInstance, ...]:
    """Read the answer of ``get_task_states``, keyed by run id, then by task id and map index.

    A key that is a task's id is that task; otherwise what follows the last underscore is a map index.
    """
    from ringback_notifier._prediction import TaskInstance

    known = set(task_ids)
    instances = []
    for key, state in answer.get(run_id, {}).items():
        task_id, _, index = key.rpartition("_")
        if key in known or not index.isdecimal():
            instances.append(TaskInstance(task_id=key, state=state))
        else:
            instances.append(TaskInstance(task_id=task_id, map_index=int(index), state=state))
    return tuple(instances)


def retry_settings() -> dict[str, Any]:
    """Return what makes a failed delivery's retries wait longer each time, and as long as the receiver asked.

    Task SDK ≥ 1.3 asks a retry policy for each delay; 1.2 takes the factor by which delays grow; before, the option
    is a switch for doubling.
    """
    from airflow.sdk.bases.operator import BASEOPERATOR_ARGS_EXPECTED_TYPES

    if BASEOPERATOR_ARGS_EXPECTED_TYPES.get("retry_exponential_backoff") is bool:  # Task SDK < 1.2
        return {"retry_exponential_backoff": True}
    try:
        from ringback_notifier._retry import RetryAfterPolicy
    except ImportError:  # Task SDK < 1.3
        return {"retry_exponential_backoff": 2.0}
    return {"retry_exponential_backoff": 2.0, "retry_policy": RetryAfterPolicy()}
