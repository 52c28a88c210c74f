"""A synchronous Airflow client for the asynchronous receiver: each call in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from ringback_receiver._airflow_client import AirflowClient
from ringback_receiver._airflow_errors import AirflowError, AirflowUnreachable
from ringback_receiver._airflow_runs import RunsFound
from ringback_receiver._dag_run import DagRun

__all__ = ["ThreadedAirflow"]

T = TypeVar("T")

PATIENCE = 300.0
"""Seconds for one call, with all its requests; each has a timeout of its own."""


class ThreadedAirflow:
    """What a receiver needs of Airflow."""

    def __init__(self, client: AirflowClient) -> None:
        self._client = client

    @property
    def base_url(self) -> str:
        """Where Airflow is."""
        return self._client.base_url

    async def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
    ) -> DagRun:
        """Create a DAG run."""
        return await _within_reason(
            asyncio.to_thread(
                self._client.trigger, dag_id, conf=conf, run_id=run_id, logical_date=logical_date, note=note
            )
        )

    async def find_runs(self, runs: Iterable[tuple[str, str]]) -> RunsFound:
        """Say how each of these runs is."""
        return await _within_reason(asyncio.to_thread(self._client.find_runs, runs))


async def _within_reason(call: Coroutine[Any, Any, T]) -> T:
    """Wait for a call, but not for ever: a server that trickles its headers can hold the client.

    :raises AirflowUnreachable: it did not end.
    """
    try:
        return await asyncio.wait_for(call, PATIENCE)
    except asyncio.TimeoutError as error:
        if isinstance(error, AirflowError):
            raise  # one of the client's own
        raise AirflowUnreachable(f"no answer within {PATIENCE:g} s", reason="timed_out") from error
