"""What ``[ringback] outbox_url`` may say, and what is never repeated of it."""

from __future__ import annotations

import traceback

import pytest

from ringback_notifier.errors import NotifierError, OutboxError, OutboxUnavailable
from ringback_notifier.outbox import Outbox
from ringback_notifier.outbox._url import parse_url

PASSWORD = "p@ss:w/rd"
QUOTED = "p%40ss%3Aw%2Frd"


def test_a_file_is_named_by_its_absolute_path() -> None:
    """Four slashes: every component means the same file, wherever it was started."""
    place = parse_url("sqlite:////var/lib/ring back/100%.db")
    assert (place.kind, place.path, str(place)) == (
        "sqlite",
        "/var/lib/ring back/100%.db",
        "sqlite:////var/lib/ring back/100%.db",
    )


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///outbox.db", "sqlite:///:memory:", "sqlite:////tmp/", "sqlite:////tmp/x.db?mode=ro"],
)
def test_any_other_file_is_refused(url: str) -> None:
    """A relative path, memory, a folder or parameters cannot work for several processes."""
    with pytest.raises(OutboxError, match=r"\[ringback\] outbox_url: .*four slashes"):
        parse_url(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_has_three_names(scheme: str) -> None:
    """What people write for SQLAlchemy or for libpq is understood."""
    place = parse_url(f"{scheme}://ringback:{QUOTED}@db.example:5433/outbox?sslmode=require")
    assert place.kind == "postgresql"
    assert str(place) == "postgresql://ringback@db.example:5433/outbox"
    assert "sslmode=require" in place.conninfo


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql:///outbox", "postgresql:///outbox"),
        ("postgresql://db/outbox", "postgresql://db/outbox"),
        ("postgresql://a,b/outbox", "postgresql://a,b/outbox"),
        ("postgresql://a:1,b:2/outbox", "postgresql://a:1,b:2/outbox"),
        ("postgresql:///outbox?host=/run/postgresql", "postgresql:///run/postgresql/outbox"),
    ],
)
def test_whatever_libpq_knows_may_be_said(url: str, shown: str) -> None:
    """Several hosts, a socket or defaults are libpq's business."""
    assert str(parse_url(url)) == shown


@pytest.mark.parametrize("url", ["", "outbox.db", "mysql://u:secret@h/x", "postgresql+asyncpg://u:secret@h/x"])
def test_any_other_database_is_refused(url: str) -> None:
    """The message says what may be written, and repeats no more than the scheme."""
    with pytest.raises(OutboxError, match=r"\[ringback\] outbox_url: .* is no outbox; write sqlite:") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ringback:s3cr3t@db:port/x",
        "postgresql://ringback:s3cr3t/x@db/x",
        "postgresql://ringback:12/s3cr3t@db/x",
        "postgresql://ringback:pass@s3cr3t@db/x",
        "postgresql://ringback:12?s3cr3t@db/x",
        "postgresql://ringback:s3cr3t@db/x?nonsense=s3cr3t",
        "postgresql://ringback:s3cr3t%zz@db/x",
    ],
)
def test_a_malformed_url_does_not_show_its_password(url: str) -> None:
    """What libpq says of it quotes it, so it is not repeated, nor chained."""
    with pytest.raises(OutboxError, match="cannot be read") as caught:
        parse_url(url)
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__suppress_context__


def test_a_place_does_not_show_its_password() -> None:
    """Neither as text nor as a representation, and a driver's message is cleaned of it, quoted or not."""
    place = parse_url(f"postgresql://ringback:{QUOTED}@db/x?sslpassword=kee%20p")
    for shown in (str(place), repr(place), place.scrub(f"FATAL: {PASSWORD}\n or {QUOTED}, kee p, kee%20p")):
        assert not any(secret in shown for secret in (PASSWORD, QUOTED, "kee p", "kee%20p")), shown
    assert place.scrub("a\n  b") == "a b"


def test_a_refused_connection_does_not_show_the_password() -> None:
    """An error that reaches a log names user, host and database, and no more, wherever it came from."""
    with pytest.raises(OutboxUnavailable, match=r"postgresql://ringback@127\.0\.0\.1:1/x") as caught:
        Outbox.open(f"postgresql://ringback:{QUOTED}@127.0.0.1:1/x", wait=5)
    printed = "".join(traceback.format_exception(caught.value))
    assert PASSWORD not in printed
    assert QUOTED not in printed


def test_outbox_errors_are_the_notifiers() -> None:
    """One except clause catches all that the notifier raises; unavailable is a kind of error."""
    assert issubclass(OutboxUnavailable, OutboxError)
    assert issubclass(OutboxError, NotifierError)
    assert (OutboxError.reason, OutboxUnavailable.reason) == ("outbox", "outbox_unavailable")
