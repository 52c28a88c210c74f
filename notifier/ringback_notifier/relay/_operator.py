"""The relay as a task: it drains for most of a minute, and Airflow starts it again every minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG
from airflow.sdk.bases.operator import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from ringback_notifier._destination import Destination

__all__ = ["RelayOperator", "relay_dag"]

_MARGIN = timedelta(seconds=60)


class RelayOperator(BaseOperator):
    """
    Report what is not reported yet, for a while.

    :param drain_for: seconds to go on for.
    :returns: as XCom, what it did: ``{"delivered": …, "failed": …, "dead": …, …}``.
    """

    ui_color = "#d7e8fa"

    def __init__(self, *, drain_for: float = 55.0, **arguments: Any) -> None:
        settings: dict[str, Any] = {"retries": 0, "execution_timeout": timedelta(seconds=drain_for) + _MARGIN}
        super().__init__(**{**settings, **arguments})
        self.drain_for = drain_for
        self._stop: Callable[[], object] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Drain.

        :raises NotifierError: if the relay is not set up, or if the outbox or Airflow's API could not be used in all
            that time, so that the task fails and alerts.
        """
        import dataclasses

        from ringback_notifier.errors import NotifierError

        report = asyncio.run(self._drain())
        said = dataclasses.asdict(report)
        self.log.info("ringback: %s", ", ".join(f"{name} {value}" for name, value in said.items()))
        if report.stuck:
            raise NotifierError(
                f"in {self.drain_for:g} s the relay never got on with {', '.join(report.stuck)}: {report.last_error}"
            )
        return said

    def on_kill(self) -> None:
        """End what is in flight, and give the rest back."""
        if self._stop is not None:
            self._stop()

    async def _drain(self) -> Any:
        from ringback_notifier._context import load_destination
        from ringback_notifier.relay._lookups import find_connection
        from ringback_notifier.relay._wiring import opened_relay

        async def connection(conn_id: str) -> Any:
            return find_connection(conn_id)

        async def destination(name: str) -> Destination:
            return load_destination(name)

        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stop.set)
        async with opened_relay("dag", connection=connection, destination=destination) as relay:
            return await relay.drain(self.drain_for, stop=stop)


def relay_dag(
    dag_id: str = "ringback_relay", *, every: timedelta = timedelta(minutes=1), drain_for: float = 55.0, **dag: Any
) -> DAG:
    """Return a DAG that is a relay: put it into a file of the DAG folder.

    :param every: how often a run starts.
    :param drain_for: seconds for which each run drains; a little less than ``every``.
    :param dag: further arguments of the DAG.
    """
    settings: dict[str, Any] = {
        "schedule": every,
        "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "catchup": False,
        "max_active_runs": 1,
        "is_paused_upon_creation": False,
        "tags": ["ringback"],
        "doc_md": "Reports ended runs to callers who asked, where nobody else has, and delivers what failed before.",
    }
    with DAG(dag_id, **{**settings, **dag}) as made:
        RelayOperator(task_id="drain", drain_for=drain_for)
    return made
