"""Many rows at once.

SQLite, which lives in this process, runs one statement for each.  PostgreSQL gets a single statement with one array
for each column: of two hundred rows that is several times faster than two hundred statements in a pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, FromClause, Table, any_, bindparam, func, insert, literal, select
from sqlalchemy import update as sql_update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

__all__ = ["among", "chunks", "insert_or", "insert_rows", "update_rows"]

_CHUNK = 500
"""Values in one statement, for SQLite's sake."""

T = TypeVar("T")

Rows = Sequence[Mapping[str, Any]]
Types = Mapping[str, TypeEngine[Any]]
Given = Callable[[str], ColumnElement[Any]]


def among(connection: Connection, column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that a column holds one of some values, of which there is one chunk."""
    wanted = list(values)
    if _has_arrays(connection):
        return column == any_(literal(wanted, ARRAY(column.type)))
    return column.in_(wanted)


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Cut a collection into lists that fit into a statement."""
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def insert_or(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can be told what to do on a conflict."""
    return postgresql.insert(table) if _has_arrays(connection) else sqlite.insert(table)


def insert_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows that all have the same columns."""
    if not rows:
        return
    if _has_arrays(connection):
        given = _unnested(rows, {name: table.c[name].type for name in rows[0]})
        connection.execute(insert(table).from_select(list(rows[0]), select(given)))
    else:
        connection.execute(insert(table), rows)


def update_rows(
    connection: Connection,
    key: ColumnElement[str],
    rows: Rows,
    types: Types,
    values: Callable[[Given], Mapping[str, Any]],
) -> None:
    """Update one row for each of the given ones.

    :param key: the column that is equal to what the given row calls ``key``.
    :param rows: each a mapping of the names in ``types`` and ``key``, in the order in which they may be locked.
    :param values: returns what is set, from a function that names a member of the given row.
    """
    if not rows:
        return
    statement = sql_update(key.table)
    if _has_arrays(connection):
        given = _unnested(rows, {"key": key.type, **types})
        connection.execute(statement.where(key == given.c.key).values(values(lambda name: given.c[name])))
    else:
        connection.execute(statement.where(key == bindparam("key")).values(values(bindparam)), rows)


def _has_arrays(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _unnested(rows: Rows, types: Types) -> FromClause:
    columns = [literal([row[name] for row in rows], ARRAY(kind)) for name, kind in types.items()]
    return func.unnest(*columns).table_valued(*types).render_derived()
