"""The relay in the triggerer: always on, no worker slot, taken over by another triggerer when one dies."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.sdk.bases.operator import BaseOperator
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["RelayTrigger", "relay_watcher_dag"]


class RelayTrigger(BaseEventTrigger):
    """Drain for as long as the triggerer lives.  It watches nothing and yields nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how the triggerer makes this trigger again."""
        return "ringback_notifier.relay._trigger.RelayTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Drain.  An exception ends it; the triggerer starts it again a second later."""
        from ringback_notifier._context import aload_destination
        from ringback_notifier.relay._lookups import afind_connection
        from ringback_notifier.relay._wiring import opened_relay

        async with opened_relay("trigger", connection=afind_connection, destination=aload_destination) as relay:
            report = await relay.drain(None)
        # It comes to this only if the relay was told to stop; but a trigger is a generator.
        yield TriggerEvent(dataclasses.asdict(report))  # type: ignore[no-untyped-call]


class _NothingToDo(BaseOperator):
    """Airflow runs a watcher only for a DAG that is scheduled on its asset; that DAG never runs."""

    def execute(self, context: Context) -> None:
        """Do nothing."""


def relay_watcher_dag(dag_id: str = "ringback_relay_watcher", **dag: Any) -> DAG:
    """Return a DAG whose asset watcher is a relay in the triggerer: put it into a file of the DAG folder.

    The DAG must stay unpaused, and never runs.

    :param dag: further arguments of the DAG.
    """
    asset = Asset(name=dag_id, watchers=[AssetWatcher(name=dag_id, trigger=RelayTrigger())])
    settings: dict[str, Any] = {
        "schedule": [asset],
        "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "catchup": False,
        "is_paused_upon_creation": False,
        "tags": ["ringback"],
        "doc_md": "Keeps a Ringback relay running in the triggerer. `ringback relay status` shows that it is alive.",
    }
    with DAG(dag_id, **{**settings, **dag}) as made:
        _NothingToDo(task_id="never_runs")
    return made
