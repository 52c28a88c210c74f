"""A DAG run as Airflow's REST API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

__all__ = ["OversizedRequest", "Page", "Run", "RunKey"]

RunKey = tuple[str, str]
"""DAG id and run id."""

_Instant = Annotated[datetime, Meta(tz=True)]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run; members that the relay does not need are not read.

    :param state: in Airflow's words.
    :param conf: of the run's conf what asks for a callback, or ``None`` if nothing does.
    """

    dag_id: str
    run_id: str = msgspec.field(name="dag_run_id")
    state: str
    conf: Any = None
    logical_date: _Instant | None = None
    run_after: _Instant | None = None
    start_date: _Instant | None = None
    end_date: _Instant | None = None

    @property
    def key(self) -> RunKey:
        """Return what names the run."""
        return self.dag_id, self.run_id


class OversizedRequest(msgspec.Struct, frozen=True):
    """What stands for a callback request that is too large to be one.

    :param size: in bytes.
    """

    size: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of runs, each still as it came: one that cannot be read must not hide the others.

    :param next_cursor: where the next page starts, ``None`` on the last, unset where Airflow (< 3.3) knows no cursors.
    :param total_entries: how many runs there are on all pages, where that is known.
    """

    dag_runs: tuple[msgspec.Raw, ...]
    next_cursor: str | UnsetType | None = UNSET
    total_entries: int | None = None
