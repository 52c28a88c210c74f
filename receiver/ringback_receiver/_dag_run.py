"""A DAG run, as Airflow's REST API tells of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

__all__ = ["TERMINAL_STATES", "DagRun", "RunResult"]

TERMINAL_STATES = frozenset({"success", "failed"})
"""The states in which a run stays unless somebody clears or marks it (airflow.utils.state)."""


class DagRun(msgspec.Struct, frozen=True, kw_only=True):
    """A DAG run at the moment Airflow was asked; members that a newer Airflow adds are ignored.

    :param run_url: the run's page in Airflow's UI.
    """

    dag_id: str
    run_id: str = msgspec.field(name="dag_run_id")
    state: str
    logical_date: datetime | None = None
    run_after: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: dict[str, Any] | None = None
    note: str | None = None
    run_url: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or not."""
        return self.state in TERMINAL_STATES

    @property
    def succeeded(self) -> bool:
        """Whether the run has ended well."""
        return self.state == "success"


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has succeeded, and what its DAG declares as its result.

    :param result: of the one task that declares it; an object by task id if there are several; ``None`` if none does,
        or if it cannot be had.
    """

    run: DagRun
    result: Any = None
