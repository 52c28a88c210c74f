"""What a filter says of one row."""

from __future__ import annotations

import json
from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Text, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from ringback_notifier.outbox._filter import EventFilter, can_be_stored
from ringback_notifier.outbox._schema import events
from ringback_notifier.outbox._ways import Known

__all__ = ["conditions_of", "one_of"]


def conditions_of(connection: Connection, asked: EventFilter, *, known: Known | None) -> list[ColumnElement[bool]]:
    """Return conditions on a row, but for its age.

    :param known: what is not to be looked at again.
    """
    found: dict[str, ColumnElement[bool]] = {}
    if asked.dag_id is not None:
        found["dag_id"] = events.c.dag_id == asked.dag_id
    elif asked.dag_ids is not None:
        found["dag_id"] = one_of(connection, events.c.dag_id, asked.dag_ids)
    if asked.run_id is not None:
        found["run_id"] = events.c.run_id == asked.run_id
    if asked.destination is not None:
        found["destination"] = events.c.destination == asked.destination
    if asked.statuses is not None:
        found["status"] = one_of(connection, events.c.status, asked.statuses)
    others = [condition for column, condition in found.items() if column != known]
    if asked.run_id_contains:
        # Neither LIKE, which treats two characters apart, and letters as SQLite and PostgreSQL do not agree upon.
        within = func.instr if connection.dialect.name == "sqlite" else func.strpos
        others.append(within(events.c.run_id, asked.run_id_contains) > 0)
    return others


def one_of(connection: Connection, column: ColumnElement[str], values: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of some values, however many."""
    wanted = sorted(set(values))
    if connection.dialect.name == "sqlite":
        return column.in_(select(func.json_each(json.dumps(wanted)).table_valued("value").c.value))
    return column == any_(literal([value for value in wanted if can_be_stored(value)], ARRAY(Text)))
