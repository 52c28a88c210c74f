"""A scheduler that forks while its listener writes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import listener_fork_sqlite
import listener_forks
from listener_samples import noted

from ringback_notifier.outbox import EventFilter, Outbox


def test_forking_amid_writes_harms_neither_the_parent_nor_the_children(url: str, tmp_path: Path) -> None:
    """Every child can use SQLite and its own listener, the parent loses nothing, and the file stays whole."""
    Outbox.open(url, wait=10.0).close()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", listener_forks.__file__],
        env={
            **os.environ,
            "AIRFLOW__RINGBACK__OUTBOX_URL": url,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    failed, ended, flushed, slowest = done.stdout.split("RESULT ")[1].split()
    assert (failed, flushed) == ("0", "1"), done.stdout + done.stderr
    assert float(slowest) < 2
    expected = {f"parent{number}" for number in range(int(ended))}
    expected |= {f"child{number}" for number in range(listener_forks.CHILDREN)}
    assert noted(url) == expected
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(tmp_path / "ringback" / "outbox.db")) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_fork_with_the_outbox_open_loses_nobodys_rows(sqlite_url: str, tmp_path: Path) -> None:
    """The child starts without SQLite's memory of a file that its parent has closed, and others have opened since."""
    Outbox.open(sqlite_url, wait=10.0).close()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", listener_fork_sqlite.__file__],
        env={
            **os.environ,
            "AIRFLOW__RINGBACK__OUTBOX_URL": sqlite_url,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "PYTHONPATH": str(Path(__file__).parent),
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outbox = Outbox.open(sqlite_url, wait=10.0)
    try:
        kept = {row.run_id for row in outbox.page(EventFilter(), limit=100).rows}
    finally:
        outbox.close()
    assert kept == {
        *listener_fork_sqlite.OWN,
        *listener_fork_sqlite.OTHERS,
        *listener_fork_sqlite.CHILDS,
    }
    with contextlib.closing(sqlite3.connect(tmp_path / "ringback" / "outbox.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
