"""The relay in the triggerer: always on, no worker slot, taken over by another triggerer when one dies."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.sdk.bases.operator import BaseOperator
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["RelayTrigger", "relay_watcher_dag"]

_PATIENCE = 30.0


class RelayTrigger(BaseEventTrigger):
    """Drain for as long as the triggerer lives.  It watches nothing and yields nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how the triggerer makes this trigger again."""
        return "ringback_notifier.relay._trigger.RelayTrigger", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Drain.  An exception ends it, and the triggerer starts it again."""
        from ringback_notifier.errors import NotifierError

        # All triggers share the event loop; what a relay needs takes a second to import.
        wiring, lookups, context = [
            await asyncio.to_thread(importlib.import_module, f"ringback_notifier.{name}")
            for name in ("relay._wiring", "relay._lookups", "_context")
        ]
        try:
            async with wiring.opened_relay(
                "trigger", connection=lookups.afind_connection, destination=context.aload_destination
            ) as relay:
                report = await relay.drain(None)
        except NotifierError as error:
            self.log.error("ringback relay: %s; the next try is in %.0f s", error, _PATIENCE)
            await asyncio.sleep(_PATIENCE)  # or it would be a second later, for ever
            raise
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
