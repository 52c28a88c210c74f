"""Statements with named parameters, for a driver that counts them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ringback_receiver._postgres_connect import Connection

__all__ = ["Statement", "fetch"]

_NAME = re.compile(r"(?<!:):([a-z_]+)")
"""``:name``, but not the type in ``::text``."""


class Statement:
    """One SQL statement, written once with ``:name`` and sent with ``$1``.

    :param text: of the statement.
    """

    __slots__ = ("_names", "text")

    def __init__(self, text: str) -> None:
        self._names = list(dict.fromkeys(_NAME.findall(text)))
        self.text = _NAME.sub(lambda found: f"${self._names.index(found[1]) + 1}", text)

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values in the order in which the driver wants them."""
        return [values[name] for name in self._names]


async def fetch(connection: Connection, statement: Statement, **values: Any) -> list[Any]:
    """Run a statement, prepared once on each connection, and return its rows."""
    rows: list[Any] = await connection.fetch(statement.text, *statement.arguments(values))
    return rows
