"""The SQLite file: who may read it, and what is done about one that is not right."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from outbox_samples import NOW, make_hint

from ringback_notifier.errors import OutboxError, OutboxUnavailable
from ringback_notifier.outbox import Outbox


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(sqlite_url.removeprefix("sqlite:///"))


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("no_umask")
def test_only_the_owner_may_read(path: Path, sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """Bodies hold results: the folder, the file and SQLite's companions are private, whatever the umask."""
    outbox = opening(sqlite_url)
    outbox.add_hints([make_hint()], now=NOW)
    assert mode(path.parent) == 0o700
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "outbox.db": 0o600,
        "outbox.db-shm": 0o600,
        "outbox.db-wal": 0o600,
    }


def test_what_the_operator_made_keeps_its_mode(path: Path, sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """A folder and an empty file that are there already may be shared with a group."""
    path.parent.mkdir(mode=0o770)
    path.parent.chmod(0o770)
    path.touch()
    path.chmod(0o660)
    opening(sqlite_url)
    assert (mode(path.parent), mode(path)) == (0o770, 0o660)


def test_the_file_is_in_wal_mode(path: Path, sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """Readers never wait for a writer."""
    opening(sqlite_url).close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_what_was_written_is_there_when_it_is_opened_again(sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """The outbox survives its process."""
    opening(sqlite_url).add_hints([make_hint()], now=NOW)
    assert opening(sqlite_url).hinted(["msg_0001"]) == {"msg_0001"}


@pytest.mark.parametrize("content", [b"not a database" * 500, b"SQLite format 3\x00" + b"\xff" * 9000])
def test_a_corrupt_file_is_named_with_a_way_out(path: Path, sqlite_url: str, content: bytes) -> None:
    """Whoever reads the log learns which file, which option, and what to do."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(OutboxError, match=r"outbox\.db: file is not a database.*move it away") as caught:
        Outbox.open(sqlite_url, wait=1)
    assert not isinstance(caught.value, OutboxUnavailable)
    assert str(path) in str(caught.value)
    assert "[ringback] outbox_url" in str(caught.value)
    assert "[ringback] sweep_lookback" in str(caught.value)  # or the new file's first sweep finds ten minutes only
    assert path.read_bytes() == content


def test_a_file_of_a_later_release_is_left_alone(path: Path, sqlite_url: str, opening: Callable[..., Outbox]) -> None:
    """An old component says that it is old instead of writing into what it does not understand."""
    opening(sqlite_url).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE ringback_outbox_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(OutboxError, match=r"outbox\.db: its schema 9999 is of a later release.*upgrade.*outbox_url"):
        Outbox.open(sqlite_url, wait=1)


def test_a_file_of_another_program_is_left_alone(path: Path, sqlite_url: str) -> None:
    """Airflow's own database, or any other, is never written into."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE dag_run (id INTEGER)")
    connection.commit()
    connection.close()
    with pytest.raises(OutboxError, match=r"outbox\.db: this database is another program's.*outbox_url"):
        Outbox.open(sqlite_url, wait=1)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    connection.close()


def test_a_table_that_is_missing_is_an_error_with_a_way_out(path: Path, sqlite_url: str) -> None:
    """A file that somebody has tampered with is not merely unavailable."""
    outbox = Outbox.open(sqlite_url, wait=1)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE ringback_event")
    connection.close()
    with pytest.raises(OutboxError, match=r"no such table: ringback_event; .*move it away") as caught:
        outbox.counts()
    assert not isinstance(caught.value, OutboxUnavailable)
    outbox.close()


def test_a_folder_that_cannot_be_made_is_named(path: Path, sqlite_url: str) -> None:
    """Whoever set the option learns what is wrong with it."""
    path.parent.touch()
    with pytest.raises(OutboxError, match=r"outbox\.db: cannot be created \(File exists\); \[ringback\] outbox_url"):
        Outbox.open(sqlite_url, wait=1)


def test_a_folder_in_place_of_the_file_is_named(path: Path, sqlite_url: str) -> None:
    """A path that is a folder cannot be opened, and the message says what it must be."""
    path.mkdir(parents=True)
    with pytest.raises(OutboxUnavailable, match=r"unable to open database file; \[ringback\] outbox_url must name"):
        Outbox.open(sqlite_url, wait=1)


def test_an_sqlite_that_is_too_old_is_refused(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without RETURNING there is no outbox in a file, but there is one in PostgreSQL."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 26, 0))
    with pytest.raises(OutboxError, match=r"too old, 3\.35 is needed; let \[ringback\] outbox_url name a PostgreSQL"):
        Outbox.open(sqlite_url, wait=1)


def test_a_path_may_hold_any_character(tmp_path: Path, opening: Callable[..., Outbox]) -> None:
    """Spaces, per cent signs and hashes are taken literally."""
    folder = tmp_path / "a %41 b#c é"
    opening(f"sqlite:///{folder}/out box.db")
    assert (folder / "out box.db").stat().st_size > 0
