"""What is particular to the SQLite store."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from ringing import URL, make_event

from ringback_protocol import encode_event
from ringback_receiver import ConfigurationError, StoreError
from ringback_receiver._matching import PendingRequest, Transition
from ringback_receiver._sqlite import SqliteStore
from ringback_receiver._sqlite_thread import SqliteThread
from ringback_receiver._versions import HEAD, VERSION_TABLE

pytestmark = pytest.mark.anyio


def wanted(number: int) -> PendingRequest:
    return PendingRequest(
        request_id=f"req_{number}",
        dag_id="sales",
        run_id=f"run_{number}",
        callback_url=URL,
        created_at=1.0,
    )


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_file_is_its_owners_only(tmp_path: Path) -> None:
    """Results and metadata are nobody else's business, in the log of writes neither."""
    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    await store.register(wanted(1), handlers=[])
    found = modes(tmp_path)
    await store.close()
    assert found == {"ringback.db": 0o600, "ringback.db-wal": 0o600, "ringback.db-shm": 0o600}


async def test_memory_store_works() -> None:
    """For tests and toys."""
    store = SqliteStore(":memory:")
    await store.open()
    await store.register(wanted(1), handlers=[])
    event = make_event("req_1", "run_1")
    recorded = await store.record(event, encode_event(event), received_at=2.0, handlers=[])
    await store.close()
    assert recorded.transition is Transition.RESOLVE


async def test_place_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """The error says which file."""
    with pytest.raises(StoreError, match=r"missing/ringback\.db"):
        await SqliteStore(str(tmp_path / "missing" / "ringback.db")).open()


async def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Nothing is overwritten."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        await SqliteStore(str(path)).open()
    assert path.read_text().startswith("not a database")


async def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Whoever comes first creates the tables, and the others find them."""
    stores = [SqliteStore(str(tmp_path / "ringback.db")) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(store.register(wanted(n), handlers=[]) for n, store in enumerate(stores)))
    found = await stores[0].look_up([f"req_{n}" for n in range(8)])
    await asyncio.gather(*(store.close() for store in stores))
    assert len(found) == 8


def version_of(path: Path) -> str:
    connection = sqlite3.connect(path)
    (version,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    connection.close()
    return str(version)


async def test_new_file_has_our_version_and_opens_again(tmp_path: Path) -> None:
    """Whoever opens it later knows what is in it."""
    store = SqliteStore(str(tmp_path / "ringback.db"))
    for _ in range(2):
        await store.open()
        await store.close()
        assert version_of(tmp_path / "ringback.db") == HEAD


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (
            f"CREATE TABLE {VERSION_TABLE} (version_num TEXT); INSERT INTO {VERSION_TABLE} VALUES ('9999')",
            r"schema version 9999, .*upgrade airflow-ringback",
        ),
        ("CREATE TABLE requests (n INTEGER)", "no schema version.*move it away"),
    ],
)
async def test_file_of_another_version_is_refused_and_left_alone(tmp_path: Path, script: str, complaint: str) -> None:
    """Guessing what an unknown schema means would lose somebody's events."""
    path = tmp_path / "ringback.db"
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=rf"ringback\.db has .*{complaint}"):
        await SqliteStore(str(path)).open()
    assert path.read_bytes() == before


async def test_file_without_our_tables_is_new(tmp_path: Path) -> None:
    """A database that somebody else began, and gave no version, is room enough."""
    path = tmp_path / "ringback.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (n INTEGER)")
    connection.close()
    store = SqliteStore(str(path))
    await store.open()
    await store.register(wanted(1), handlers=[])
    await store.close()
    assert version_of(path) == HEAD


@pytest.mark.parametrize("damage", ["UPDATE events SET body = '{'", "UPDATE requests SET metadata = '{'"])
async def test_unreadable_turn_does_not_hold_up_the_others(tmp_path: Path, damage: str) -> None:
    """It is put off with its error, longer each time, and the readable ones are given out."""
    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    for number in (1, 2):
        await store.register(wanted(number), handlers=[])
        event = make_event(f"req_{number}", f"run_{number}")
        await store.record(event, encode_event(event), received_at=float(number), handlers=["h"])
    vandal = sqlite3.connect(tmp_path / "ringback.db")
    with vandal:
        vandal.execute(damage + " WHERE request_id = 'req_1'")
    vandal.close()
    (call,) = await store.claim_calls(["h"], now=10.0, lease_until=1_000.0, limit=10)
    assert call.completion.request_id == "req_2"
    (failing,) = await store.failing_calls(limit=10)
    assert (failing.request_id, failing.attempts, failing.due) == ("req_1", 1, 10.5)
    assert failing.error.startswith(("DecodeError: ", "ValidationError: "))
    assert await store.claim_calls(["h"], now=10.5, lease_until=1_000.0, limit=10) == []
    (failing,) = await store.failing_calls(limit=10)
    await store.close()
    assert (failing.attempts, failing.due) == (2, 11.5)


@pytest.mark.parametrize("damage", ["UPDATE events SET body = '{'", "UPDATE requests SET metadata = '{'"])
async def test_unreadable_request_deafens_nobody(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """Those who wait for others hear of them, and a list has the others; the log names what cannot be read."""
    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    for number in (1, 2):
        await store.register(wanted(number), handlers=[])
        event = make_event(f"req_{number}", f"run_{number}")
        await store.record(event, encode_event(event), received_at=float(number), handlers=[])
    vandal = sqlite3.connect(tmp_path / "ringback.db")
    with vandal:
        vandal.execute(damage + " WHERE request_id = 'req_1'")
    vandal.close()
    assert list(await store.settled(["req_1", "req_2"])) == ["req_2"]
    if "metadata" in damage:
        assert [request.request_id for request in await store.list_requests(state="resolved", limit=10)] == ["req_2"]
    await store.close()
    assert "request req_1 cannot be read" in caplog.text


def insert(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (1)")


async def test_what_queues_up_shares_a_commit(tmp_path: Path) -> None:
    """A hundred requests at once cost a handful of commits."""
    commits: list[str] = []

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        connection.execute("CREATE TABLE t (n INTEGER)")
        connection.set_trace_callback(lambda text: commits.append(text) if text == "COMMIT" else None)
        return connection

    thread = SqliteThread(connect)
    await thread.start()
    await asyncio.gather(*(thread.write(insert) for _ in range(100)))
    count = await thread.read(lambda c: c.execute("SELECT count(*) FROM t").fetchone())
    await thread.stop()
    assert count == (100,)
    assert len(commits) <= 10


async def test_lost_transaction_fails_everything_in_it(tmp_path: Path) -> None:
    """When SQLite undoes a whole transaction, nobody in it is told that his part is durable."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        connection.execute("CREATE TABLE t (n INTEGER)")
        return connection

    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # what a full disk does
        raise sqlite3.OperationalError("database or disk is full")

    thread = SqliteThread(connect)
    await thread.start()
    outcomes = await asyncio.gather(
        thread.write(insert), thread.write(lose), thread.write(insert), return_exceptions=True
    )
    await thread.write(insert)
    count = await thread.read(lambda c: c.execute("SELECT count(*) FROM t").fetchone())
    await thread.stop()
    succeeded = sum(outcome is None for outcome in outcomes)
    assert isinstance(outcomes[1], sqlite3.OperationalError)
    assert count == (succeeded + 1,)


async def test_busy_file_is_an_error_and_not_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that holds the file too long makes an operation fail, and the next one works."""
    from ringback_receiver import _sqlite_queries

    quick = tuple(pragma.replace("5000", "50") for pragma in _sqlite_queries.PRAGMAS)
    monkeypatch.setattr(_sqlite_queries, "PRAGMAS", quick)
    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    holder = sqlite3.connect(tmp_path / "ringback.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.register(wanted(1), handlers=[])
    holder.execute("ROLLBACK")
    holder.close()
    await store.register(wanted(1), handlers=[])
    await store.close()


async def test_hot_queries_use_their_indexes(tmp_path: Path) -> None:
    """No event makes the store read a whole table."""
    from ringback_receiver import _sqlite_queries as sql

    store = SqliteStore(str(tmp_path / "ringback.db"))
    await store.open()
    await store.close()
    connection = sqlite3.connect(tmp_path / "ringback.db")
    ids = ("ids", "dag_id", "run_id", "callback_url", "request_id", "event_id", "handlers")
    arguments = dict.fromkeys((*ids, "now", "limit", "created_at"), "[]")
    by_request = (sql.REQUESTS_BY_ID, sql.REQUEST_BY_RUN, sql.ADOPTABLE_REQUEST)
    by_time = (sql.DUE_CHECKS, sql.OVERDUE_REQUESTS, sql.FAILING_CALLS, sql.PENDING_REQUESTS)
    for query in (*by_request, sql.EVENTS_SEEN, sql.PARKED_EVENTS, sql.DUE_CALLS, *by_time):
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, arguments)]
        scans = [line for line in plan if line.startswith("SCAN") and "json_each" not in line]
        # A compound query reads its two halves one after the other, and the index of open turns in order.
        assert all("USING INDEX" in line for line in scans), plan
    connection.close()
