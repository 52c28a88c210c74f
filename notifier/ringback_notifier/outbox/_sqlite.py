"""SQLite: a file that only its owner may read, in WAL mode, with real transactions."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox._url import OPTION, Place

__all__ = ["READING", "connect", "create_private", "sqlite_engine", "use_wal"]

READING: dict[str, Any] = {"ringback_reading": True}
"""Execution options of a connection that only reads."""

_OLDEST = (3, 35, 0)  # RETURNING


def connect(path: str, *, wait: float) -> sqlite3.Connection:
    """Open a file that exists.

    :param wait: seconds to wait for another writer.
    """
    # mode=rw: a file that was moved away must not come back empty and readable by everybody.
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, timeout=wait, isolation_level=None, check_same_thread=False
    )
    # What is no UTF-8, which only another program writes, makes no row unreadable.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    # In WAL mode this loses nothing when a process dies, and the latest commits, never more, when the power fails:
    # events are then sent again, or found again by the sweep.
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def sqlite_engine(place: Place, *, wait: float) -> Engine:
    """Return an engine whose transactions take the write lock at once, unless they only read."""
    if sqlite3.sqlite_version_info < _OLDEST:
        raise OutboxError(
            f"outbox {place}: SQLite {sqlite3.sqlite_version} is too old, 3.35 is needed; "
            f"let {OPTION} name a PostgreSQL"
        )
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=lambda: connect(place.path, wait=wait),
        poolclass=QueuePool,
        max_overflow=-1,
        hide_parameters=True,
    )
    # A transaction that begins by reading fails at its first write if somebody wrote in between; no waiting helps.
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("ringback_reading"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def create_private(path: str) -> None:
    """Create the file (0600) and its folder (0700) where they are missing; what is there keeps its mode.

    SQLite gives the file's companions, ``-wal`` and ``-shm``, the same mode.
    """
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Only ever opened when it is new: closing a file descriptor drops the process's locks on the file.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def use_wal(path: str, *, wait: float) -> None:
    """Go over to WAL, which lasts; others may be doing the same.

    :param wait: seconds; this step does not honour SQLite's own waiting.
    """
    deadline = time.monotonic() + wait
    with contextlib.closing(connect(path, wait=wait)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return
