"""The pure parts of the PostgreSQL store."""

from __future__ import annotations

import asyncio

import asyncpg  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_receiver import ConfigurationError, StoreError
from ringback_receiver._postgres_failures import is_lost, is_poison, translated
from ringback_receiver._postgres_holds import by_correlation, by_run, in_order
from ringback_receiver._postgres_statement import Statement
from ringback_receiver._postgres_text import comparable, readable
from ringback_receiver._postgres_url import parse_place

TEXT = st.text(max_size=300) | st.sampled_from(["\0", "a\0", "\\", "\\a", "x" * 256, "x" * 257])


@given(TEXT, TEXT)
def test_texts_that_differ_stay_different(one: str, other: str) -> None:
    """What is kept can be compared in place of the text, and PostgreSQL takes it, and its index, too."""
    assert (comparable(one) == comparable(other)) == (one == other)
    kept = comparable(one)
    assert "\0" not in kept
    assert len(kept.encode()) <= 4 * 256


@pytest.mark.parametrize("text", ["req_01jz3d5m8k0c9n7q2r4t6v8x1y", "sales_report", "", "\u2028", "ünï/code"])
def test_ordinary_text_is_kept_as_it_is(text: str) -> None:
    """Whoever looks into the table finds his DAG."""
    assert comparable(text) == readable(text) == text


def test_text_for_people_loses_only_what_cannot_be_kept() -> None:
    """NUL, and half a surrogate pair."""
    assert readable("a\0b\ud800c") == "a\ufffdb?c"


def test_statement_counts_its_names() -> None:
    """A name may come twice, and a cast is none."""
    statement = Statement("SELECT :b::text, :a, :b, now()::float8")
    assert statement.text == "SELECT $1::text, $2, $1, now()::float8"
    assert statement.arguments({"a": 1, "b": 2, "c": 3}) == [2, 1]


def test_locks_are_few_and_taken_in_order() -> None:
    """The same for the same, and no more of them than a server has room for."""
    keys = in_order([by_correlation(f"req_{number}") for number in range(500)] + [by_run("sales", "run_1")] * 3)
    assert keys == sorted(set(keys))
    assert len(keys) <= 64
    assert by_run("a", "bc") == by_run("a", "bc")


@pytest.mark.parametrize(
    ("error", "poison", "lost"),
    [
        (asyncpg.UniqueViolationError("x"), True, False),
        (asyncpg.CharacterNotInRepertoireError("x"), True, False),
        (asyncpg.ProgramLimitExceededError("x"), True, False),
        (asyncpg.DataError("x"), True, False),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"), True, False),
        (asyncpg.QueryCanceledError("x"), False, False),
        (asyncpg.DeadlockDetectedError("x"), False, False),
        (asyncpg.DiskFullError("x"), False, False),
        (asyncpg.ReadOnlySQLTransactionError("x"), False, False),
        (asyncpg.TooManyConnectionsError("x"), False, False),
        (asyncpg.AdminShutdownError("x"), False, True),
        (asyncpg.ConnectionDoesNotExistError("x"), False, True),
        (asyncpg.InterfaceError("x"), False, True),
        (asyncpg.InternalClientError("x"), False, True),
        (ConnectionResetError("x"), False, True),
        (asyncio.TimeoutError("x"), False, False),
        (StoreError("x"), False, False),
    ],
)
def test_errors_are_told_apart(error: Exception, poison: bool, lost: bool) -> None:
    """Whether a row may be to blame decides whether a batch is halved; whether the connection is, what is tried again.

    Of the store's own making is every one of them, in the end.
    """
    assert (is_poison(error), is_lost(error)) == (poison, lost)
    if not isinstance(error, UnicodeEncodeError):
        with pytest.raises(StoreError), translated(parse_place("postgresql://db/x")):
            raise error


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://portal:hunter2@db:5432/ring?sslmode=require", "postgresql://portal@db:5432/ring"),
        ("postgresql://portal:hunter%2F2@db/ring", "postgresql://portal@db/ring"),
        ("postgres://db/ring", "postgresql://db/ring"),
    ],
)
def test_place_is_shown_without_its_password(url: str, shown: str) -> None:
    """Neither its text nor its representation has it."""
    place = parse_place(url)
    assert str(place) == shown
    assert "hunter" not in repr(place)


def test_password_is_scrubbed_however_it_is_spelt() -> None:
    """A driver may quote it decoded or as it was written."""
    place = parse_place("postgresql://portal:hunter%2F2@db/ring")
    assert place.scrub("no hunter/2 and no hunter%2F2") == "no *** and no ***"


@pytest.mark.parametrize("where", ["db:port", "db:12a", "db:65536", "db:0", "db:5432:1", "[::1]:x", "one:5432,two:x"])
def test_port_that_is_none_is_refused(where: str) -> None:
    """A driver would raise something else for it, and late."""
    with pytest.raises(ConfigurationError, match="the port"):
        parse_place(f"postgresql://portal:hunter2@{where}/ring")


@pytest.mark.parametrize("where", ["", "db", "db:", "db:5432", "[::1]", "[::1]:5432", "one:5432,two:5433,three"])
def test_hosts_with_and_without_a_port_are_taken(where: str) -> None:
    """One or several, named or an address, as the driver takes them."""
    assert str(parse_place(f"postgresql://{where}/ring")) == f"postgresql://{where}/ring"


@pytest.mark.parametrize("url", ["postgresql://a:b/c@db/x", "postgresql://a:b#c@db/x", "postgresql://a:b@c@db/x"])
def test_url_that_a_driver_would_misread_is_refused(url: str) -> None:
    """A piece of a password must not become a host."""
    with pytest.raises(ConfigurationError, match="percent-encoded"):
        parse_place(url)
