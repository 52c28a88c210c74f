"""PostgreSQL for stores."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres

__all__ = ["new_postgres"]


@contextlib.contextmanager
def new_postgres(**settings: str) -> Iterator[LocalPostgres]:
    """Start a server.

    Not in pytest's own folder: every pytest that starts makes that one's parent private again, and as root the server
    runs as somebody else.  Its housekeeping is off, as it would count as a change.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ringback-", ignore_cleanup_errors=True) as folder,
        LocalPostgres(Path(folder) / "postgres", free_port(), {"autovacuum": "off", **settings}) as server,
    ):
        yield server
