"""Connections for the relay's shells: in a worker, in the triggerer, and in a process of its own."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from ringback_notifier._compat import airflow_exceptions, async_connection

__all__ = ["afind_connection", "find_connection", "look_up_as_a_server"]


def find_connection(conn_id: str) -> Any:
    """Return an Airflow connection, or ``None`` if there is none."""
    from airflow.sdk import Connection

    try:
        return Connection.get(conn_id)
    except airflow_exceptions().AirflowNotFoundException:
        return None


async def afind_connection(conn_id: str) -> Any:
    """Return an Airflow connection, or ``None``; the same as :func:`find_connection`, in a trigger."""
    try:
        return await async_connection(conn_id)
    except airflow_exceptions().AirflowNotFoundException:
        return None


def look_up_as_a_server() -> None:
    """Let a process that is no task find connections where ``airflow connections get`` does: in the database, too.

    As ``airflow/cli/commands/connection_command.py`` does it.  Where only the Task SDK is installed, the environment
    and the configured secrets backends remain.
    """
    if importlib.util.find_spec("airflow.models") is not None:
        os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
