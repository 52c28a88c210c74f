"""What is particular to the PostgreSQL store."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import anyio
import psutil
import psycopg
import pytest
from ringing import URL, make_event, until
from store_servers import new_postgres

from demo.local_postgres import LocalPostgres
from ringback_protocol import encode_event
from ringback_receiver import ConfigurationError, StoreError
from ringback_receiver._matching import PendingRequest, Transition
from ringback_receiver._migrate import migrate
from ringback_receiver._postgres import PostgresStore
from ringback_receiver._postgres_connect import connect
from ringback_receiver._postgres_url import parse_place
from ringback_receiver._store import Recorded, Store
from ringback_receiver._waiters import Waiters

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(parse_place(postgres_url))
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """Another replica's."""
    other = PostgresStore(parse_place(postgres_url))
    await other.open()
    yield other
    await other.close()


def wanted(number: int, deadline: float | None = None) -> PendingRequest:
    return PendingRequest(
        request_id=f"req_{number}",
        dag_id="sales",
        run_id=f"run_{number}",
        callback_url=URL,
        created_at=1.0,
        deadline=deadline,
    )


async def register(store: Store, *numbers: int, deadline: float | None = None) -> None:
    await asyncio.gather(*(store.register(wanted(number, deadline), handlers=[]) for number in numbers))


async def record(store: Store, number: int, **data: object) -> Recorded:
    event = make_event(f"req_{number}", f"run_{number}", **data)  # type: ignore[arg-type]
    return await store.record(event, encode_event(event), received_at=2.0, handlers=["h"])


@contextmanager
def execute(url: str, *statements: str) -> Iterator[None]:
    """Do something in the database, and the last of it when the test is over."""
    *before, after = statements
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in before:
            connection.execute(statement.encode())
        try:
            yield
        finally:
            connection.execute(after.encode())


def scalar(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


# --- group commit


async def test_a_burst_shares_few_commits(store: PostgresStore, postgres_url: str) -> None:
    """A hundred events at once are one transaction or two, and not a hundred."""
    await register(store, *range(100))
    await asyncio.gather(*(record(store, number) for number in range(100)))
    transactions = scalar(postgres_url, "SELECT count(DISTINCT xmin::text) FROM ringback.events")
    assert isinstance(transactions, int)
    assert 1 <= transactions <= 4


async def test_poison_row_fails_alone(store: PostgresStore, postgres_url: str) -> None:
    """What the server refuses of one event is that event's error; all others of its batch are recorded once."""
    await register(store, *range(20))
    table = "ALTER TABLE ringback.events"
    poison = f"{table} ADD CONSTRAINT poison CHECK (run_id NOT IN ('run_7', 'run_13'))"
    with execute(postgres_url, poison, f"{table} DROP CONSTRAINT poison"):
        outcomes = await asyncio.gather(*(record(store, number) for number in range(20)), return_exceptions=True)
    assert [number for number, outcome in enumerate(outcomes) if isinstance(outcome, StoreError)] == [7, 13]
    resolved = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
    assert [outcome.transition for outcome in resolved] == [Transition.RESOLVE] * 18


async def test_overlapping_batches_of_replicas_never_wait_in_a_circle(
    store: PostgresStore, other: PostgresStore
) -> None:
    """Replicas that are given the same events in opposite orders record each once, and nobody waits for a deadlock."""
    await register(store, *range(60))
    numbers = list(range(60))
    began = time.monotonic()
    outcomes = await asyncio.gather(
        *(record(store, number) for number in numbers), *(record(other, number) for number in reversed(numbers))
    )
    transitions = [outcome.transition for outcome in outcomes]
    assert sorted(transitions) == [Transition.DUPLICATE] * 60 + [Transition.RESOLVE] * 60
    assert time.monotonic() - began < 5.0  # a deadlock is found after a second, each time


async def test_request_that_somebody_is_changing_does_not_hold_up_what_expires(
    store: PostgresStore, postgres_url: str
) -> None:
    """It is left to the next look."""
    await register(store, 1, 2, deadline=10.0)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("SELECT FROM ringback.requests WHERE request_id = 'req_1' FOR UPDATE")
        assert await store.expire(now=10.0, limit=10) == ["req_2"]
    assert await store.expire(now=10.0, limit=10) == ["req_1"]


# --- many replicas


class Ear:
    """Listens to what a store is told."""

    def __init__(self, store: Store) -> None:
        self.heard: list[str | None] = []
        store.watch(lambda ids: self.heard.extend([None] if ids is None else ids))


async def listening(store: PostgresStore, other: PostgresStore, ear: Ear) -> None:
    """Wait until what one store tells reaches the other."""
    with anyio.fail_after(20):
        while not any(ear.heard):
            store._hints.tell(["req_ping"])
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    ear.heard.clear()


async def test_replicas_tell_each_other_what_they_settled(store: PostgresStore, other: PostgresStore) -> None:
    """Resolved, cancelled, abandoned, expired: whoever waits elsewhere hears of it, and nobody hears of his own."""
    ear, own = Ear(other), Ear(store)
    await listening(store, other, ear)
    own.heard.clear()
    await register(store, 1, 2, 3, 4)
    await record(store, 1)
    await store.cancel("req_2")
    await store.abandon("req_3", reason="no")
    await record(store, 4, state="running")
    await register(store, 5, deadline=10.0)
    await store.expire(now=10.0, limit=10)
    await until(lambda: len(ear.heard) == 4)
    assert ear.heard == ["req_1", "req_2", "req_3", "req_5"]
    assert own.heard == []


async def test_waiter_on_another_replica_is_woken_without_a_poll(store: PostgresStore, other: PostgresStore) -> None:
    """The event arrives here, the waiter is there, and its poll is an hour away."""
    await listening(store, other, Ear(other))
    waiters = Waiters(other, poll_interval=3600.0)
    await register(store, 1)
    waiting = await waiters.wait("req_1", timeout=30.0)
    await record(store, 1)
    tracked = await waiting
    await waiters.close()
    assert tracked.request.state == "resolved"


async def test_what_was_settled_last_is_told_before_the_store_closes(postgres_url: str, other: PostgresStore) -> None:
    """Also just after something else was told."""
    ear, store = Ear(other), PostgresStore(parse_place(postgres_url))
    await store.open()
    await listening(store, other, ear)
    store._hints.tell(["req_1"])
    await asyncio.sleep(0.003)
    store._hints.tell(["req_2"])
    await store.close()
    await until(lambda: len(ear.heard) == 2)
    assert ear.heard == ["req_1", "req_2"]


async def test_waiter_is_woken_by_the_poll_alone(store: PostgresStore, other: PostgresStore) -> None:
    """A notification is a hint: without any, the query for all who wait finds what was settled."""
    waiters = Waiters(other, poll_interval=0.05)
    other.watch(lambda ids: None)
    await register(store, 1, 2)
    waiting = [await waiters.wait(f"req_{number}", timeout=30.0) for number in (1, 2)]
    await asyncio.sleep(0.1)
    await asyncio.gather(record(store, 1), record(store, 2))
    settled = await asyncio.gather(*waiting)
    await waiters.close()
    assert [tracked.request.state for tracked in settled] == ["resolved", "resolved"]


async def test_cut_connection_is_reopened_and_followed_by_a_sweep(
    store: PostgresStore, other: PostgresStore, postgres_url: str
) -> None:
    """What was told while nobody listened is looked for, and what is told afterwards is heard."""
    ear = Ear(other)
    await listening(store, other, ear)
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
    scalar(postgres_url, cut + "AND (query LIKE '%LISTEN%' OR query LIKE '%pg_notify%')")
    await register(store, 1)
    await store.cancel("req_1")
    await until(lambda: None in ear.heard)
    await listening(store, other, ear)


async def test_hostile_notification_is_harmless(store: PostgresStore, other: PostgresStore, postgres_url: str) -> None:
    """Anybody in the database may notify; nobody is woken who is not settled."""
    waiters = Waiters(other, poll_interval=3600.0)
    await register(store, 1)
    waiting = await waiters.wait("req_1", timeout=1.0)
    await asyncio.sleep(0.3)
    for payload in ("*", "", "req_1 req_1", "x" * 7_000, "'; DROP TABLE requests --"):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("SELECT pg_notify('ringback_settled', %s)", [payload])
    with pytest.raises(TimeoutError):
        await waiting
    await waiters.close()


# --- deadlines, and a server that is away


@pytest.fixture
def server() -> Iterator[LocalPostgres]:
    """A server of one's own, to be frozen and killed."""
    with new_postgres() as server:
        yield server


async def test_server_that_hangs_or_dies_is_an_error_within_the_deadline(server: LocalPostgres) -> None:
    """Frozen, killed, started again: every call ends in time, and the next one works once the server does."""
    migrate(server.url())
    store = PostgresStore(parse_place(server.url()), patience=1.0)
    await store.open()
    await register(store, 1, 2)
    assert server._process is not None
    postmaster = psutil.Process(server._process.pid)
    processes = [postmaster, *postmaster.children()]
    for process in processes:
        process.suspend()
    calls: list[Callable[[], object]] = [
        lambda: record(store, 1),
        lambda: store.look_up(["req_1"]),
        lambda: store.register(wanted(3), handlers=[]),
        lambda: store.change_marker(),
    ]
    began = time.monotonic()
    outcomes = await asyncio.gather(*(call() for call in calls), return_exceptions=True)  # type: ignore[call-overload]
    assert [type(outcome) for outcome in outcomes] == [StoreError] * 4
    assert time.monotonic() - began < 4.0
    for process in reversed(processes):
        process.kill()
    server.kill()
    with pytest.raises(StoreError):
        await record(store, 2)
    await asyncio.to_thread(server.start)
    recorded = await record(store, 2)
    assert recorded.transition is Transition.RESOLVE
    await store.close()


async def test_event_is_recorded_though_its_connection_was_cut(store: PostgresStore, postgres_url: str) -> None:
    """A connection that died while nobody used it costs the next sender nothing."""
    await register(store, 1)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND application_name = 'ringback'"
        )
    assert (await record(store, 1)).transition is Transition.RESOLVE


async def test_event_is_recorded_though_its_connection_was_cut_meanwhile(
    store: PostgresStore, postgres_url: str
) -> None:
    """In the middle of a batch, too: it is tried again on another connection, and happens once."""
    await register(store, 1)
    blocked = "FROM pg_stat_activity WHERE application_name = 'ringback' AND wait_event_type = 'Lock'"
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT 1 FROM ringback.requests FOR UPDATE")
        recording = asyncio.create_task(record(store, 1))
        await until(lambda: scalar(postgres_url, f"SELECT count(*) {blocked}") == 1)
        scalar(postgres_url, f"SELECT count(pg_terminate_backend(pid)) {blocked}")
        await until(lambda: scalar(postgres_url, f"SELECT count(*) {blocked}") == 1)
    assert (await recording).transition is Transition.RESOLVE


async def test_server_without_room_for_another_connection_puts_no_event_off(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One for events, one for everything else: whoever wants another waits for those, and the log says why."""
    name = f"few_{secrets.token_hex(4)}"
    owner = psycopg.conninfo.conninfo_to_dict(postgres_url)["user"]
    limited = postgres_url.replace(f"{owner}@", f"{name}@")
    with execute(
        postgres_url,
        f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 3",
        f"GRANT ALL ON SCHEMA ringback TO {name}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA ringback TO {name}",
        f"REASSIGN OWNED BY {name} TO {owner}; DROP OWNED BY {name}; DROP ROLE {name}",
    ):
        store = PostgresStore(parse_place(limited))
        await store.open()
        await until(lambda: store._hints._pause == 0.1 and store._hints._keeping is not None)
        await register(store, *range(300))
        for first in range(0, 300, 60):
            recorded = await asyncio.gather(*(record(store, number) for number in range(first, first + 60)))
            assert {one.transition for one in recorded} == {Transition.RESOLVE}
        for number in range(300, 305):
            await register(store, number)
            await record(store, number)
        await store.close()
    said = [entry.getMessage() for entry in caplog.records if "no further connection" in entry.getMessage()]
    assert 1 <= len(said) <= 10
    assert all("too many connections" in line for line in said)


async def test_request_that_somebody_has_just_changed_is_looked_at_again(
    store: PostgresStore, postgres_url: str
) -> None:
    """A batch waits for whoever holds one of its rows, and then goes by what he has made of it."""
    await register(store, *range(60))
    async with await psycopg.AsyncConnection.connect(postgres_url) as somebody:
        await somebody.execute("UPDATE ringback.requests SET confirmed = true WHERE request_id = 'req_1'")
        await somebody.execute("UPDATE ringback.requests SET state = 'cancelled' WHERE request_id = 'req_2'")
        waiting = [asyncio.ensure_future(record(store, number)) for number in range(60)]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in waiting[1:3])
        await somebody.commit()
    recorded = await asyncio.gather(*waiting)
    expected = [Transition.CANCELLED if number == 2 else Transition.RESOLVE for number in range(60)]
    assert [one.transition for one in recorded] == expected


async def test_locked_row_is_an_error_and_not_a_hang(store: PostgresStore, postgres_url: str) -> None:
    """Somebody who holds a request for too long makes its event fail, and later it works."""
    impatient = PostgresStore(parse_place(postgres_url), patience=0.5)
    await impatient.open()
    await register(store, 1)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT 1 FROM ringback.requests FOR UPDATE")
        with pytest.raises(StoreError, match=r"timeout|no answer in time"):
            await record(impatient, 1)
    assert (await record(impatient, 1)).transition is Transition.RESOLVE
    await impatient.close()


async def test_database_that_forgets_is_refused(postgres_url: str) -> None:
    """Where a commit does not wait for the disk, no store is opened, and the error names the setting."""
    alter = f"ALTER DATABASE {postgres_url.rpartition('/')[2]}"
    with (
        execute(postgres_url, f"{alter} SET synchronous_commit = off", f"{alter} RESET synchronous_commit"),
        pytest.raises(ConfigurationError, match="synchronous_commit = off"),
    ):
        await PostgresStore(parse_place(postgres_url)).open()


async def test_database_with_another_isolation_level_changes_nothing(postgres_url: str) -> None:
    """What waited for a lock must see what was committed meanwhile; a look at the past would park an event for ever."""
    alter = f"ALTER DATABASE {postgres_url.rpartition('/')[2]}"
    with execute(
        postgres_url,
        f"{alter} SET default_transaction_isolation = 'repeatable read'",
        f"{alter} RESET default_transaction_isolation",
    ):
        connection = await connect(parse_place(postgres_url), patience=5.0)
        assert await connection.fetchval("SHOW transaction_isolation") == "read committed"
        await connection.close()


async def test_open_connection_keeps_waiting_for_the_disk(postgres_url: str) -> None:
    """A reload of the server's configuration reaches open sessions, but not what is set in the session itself."""
    connection = await connect(parse_place(postgres_url), patience=5.0)
    source = await connection.fetchval("SELECT source FROM pg_settings WHERE name = 'synchronous_commit'")
    assert (await connection.fetchval("SHOW synchronous_commit"), source) == ("on", "session")
    await connection.close()


def test_store_may_be_opened_again_in_another_loop(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """As by a program that calls ``asyncio.run`` twice; with more questions at once than there are connections."""
    store = PostgresStore(parse_place(postgres_url))

    async def use() -> None:
        await store.open()
        await asyncio.gather(*(store.look_up([f"req_{number}"]) for number in range(20)))
        await store.close()

    for _ in range(2):
        asyncio.run(use())
    assert "event loop" not in caplog.text


async def test_server_that_forgets_is_refused() -> None:
    """Nor where the disk is never told to write."""
    with new_postgres(fsync="off") as server:
        migrate(server.url())
        with pytest.raises(ConfigurationError, match="fsync = off"):
            await PostgresStore(parse_place(server.url())).open()


async def test_server_that_is_not_there_is_named_without_its_password() -> None:
    """The error says where, and nothing that is secret."""
    store = PostgresStore(parse_place("postgresql://portal:hunter2@127.0.0.1:1/x"), patience=1.0)
    with pytest.raises(StoreError, match=r"portal@127\.0\.0\.1:1/x") as caught:
        await store.open()
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {store._place!r}"


# --- plans


async def test_hot_queries_use_their_indexes(store: PostgresStore, postgres_url: str) -> None:
    """No event, and no look every second, makes the server read a whole table, whatever its statistics say."""
    from ringback_receiver import _postgres_queries as sql

    by_event = (sql.KNOWN, sql.WRITE_STEPS, sql.REQUESTS_BY_RUN, sql.SETTLED_BY_ID, sql.PARKED_EVENTS)
    by_index = {
        sql.OVERDUE_REQUEST: "requests_by_deadline",
        sql.EXPIRE_REQUESTS: "requests_by_deadline",
        sql.DUE_CHECKS: "requests_pending",
        sql.NOTE_CHECKS: "requests_pkey",
        sql.CLAIM_CALLS: "handler_calls_open",
        sql.FAILING_CALLS: "handler_calls_failing",
        sql.RETRY_FAILED: "handler_calls_failing",
        sql.SETTLED_REQUESTS: "requests_pkey",
    }
    for statement, index in (*((each, "") for each in by_event), *by_index.items()):
        nulls = ", ".join(["NULL"] * len(statement._names))

        async def explain(connection: object, text: str = statement.text, nulls: str = nulls) -> list[str]:
            await connection.execute(f"PREPARE hot AS {text}")  # type: ignore[attr-defined]
            rows = await connection.fetch(f"EXPLAIN EXECUTE hot({nulls})")  # type: ignore[attr-defined]
            await connection.execute("DEALLOCATE hot")  # type: ignore[attr-defined]
            return [line for (line,) in rows]

        plan = await store._writing.run(explain)
        assert not [line for line in plan if "Seq Scan on" in line], plan
        assert index in "\n".join(plan), plan
