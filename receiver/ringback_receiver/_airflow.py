"""What the receiver needs of Airflow, whoever gives it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from ringback_receiver._airflow_runs import RunsFound
from ringback_receiver._dag_run import DagRun

__all__ = ["Airflow", "RunFinder"]


class Airflow(Protocol):
    """Who triggers; :class:`AsyncAirflowClient` does."""

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


@runtime_checkable
class RunFinder(Airflow, Protocol):
    """Who can also say how runs are; without that nothing is reconciled."""

    @property
    def base_url(self) -> str:
        """Where Airflow is."""

    async def find_runs(self, runs: Iterable[tuple[str, str]]) -> RunsFound:
        """Say how each of these runs is, in few requests."""
