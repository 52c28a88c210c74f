"""``ringback outbox`` as an operator types it, on both databases."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_cli.outbox import app
from ringback_notifier.outbox import Attempt, Outbox, OutboxEvent, Status, migrate

HOUR = 3_600.0
SECRET = "https://user:pa55word@portal.example/completions?token=t0psecret"
Ringback = Callable[..., Result]


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """A database with the outbox's tables."""
    with (
        tempfile.TemporaryDirectory(prefix="ringback-", ignore_cleanup_errors=True) as folder,
        LocalPostgres(Path(folder) / "postgres", free_port()) as server,
    ):
        url = server.create("outbox")
        migrate(url)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty outbox."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'outbox.db'}"
        Outbox.open(url, wait=5).close()
        return url
    url = str(request.getfixturevalue("postgres_url"))
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM ringback_event")
        connection.execute("DELETE FROM ringback_attempt")
    return url


@pytest.fixture
def environment(tmp_path: Path, url: str) -> dict[str, str]:
    """A machine where Airflow is configured and nothing runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return kept | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'none.db'}",
        "AIRFLOW__RINGBACK__OUTBOX_URL": url,
        "COLUMNS": "200",
    }


@pytest.fixture
def ringback(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Ringback:
    """Run ``ringback outbox …`` in this process, for the sake of speed, where nobody can answer a question."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def put(url: str, *events: tuple[str, Status, float, dict[str, Any]]) -> None:
    """Put events into the outbox, each with its age in seconds, as a task leaves them that tried once."""
    outbox = Outbox.open(url, wait=5)
    now = time.time()
    for event_id, status, age, changes in events:
        given: dict[str, Any] = {
            "event_id": event_id,
            "dag_id": "sales",
            "run_id": f"run_{event_id}",
            "state": "success",
            "destination": "default",
            "url": "https://portal.example/completions",
            "body": b'{"data":{"result":{"rows":42}}}',
            "reported_by": "task",
            "ended_at": now - age,
        }
        event = OutboxEvent(**{**given, **changes})
        attempt = Attempt(sender="task", at=now - age, duration=0.25, status=410, error="status 410", excerpt="no more")
        outbox.record(event, [attempt], status=status, due_at=now + 60, now=now - age)  # type: ignore[arg-type]
    outbox.close()


def status_of(url: str, event_id: str) -> str | None:
    outbox = Outbox.open(url, wait=5)
    found = outbox.status_of(event_id)
    outbox.close()
    return found


def listed(ringback: Ringback, *options: str) -> list[str]:
    done = ringback("list", "--json", *options)
    assert done.exit_code == 0, done.stderr
    return [event["event_id"] for event in json.loads(done.stdout)["events"]]


def test_events_are_listed_by_every_filter(ringback: Ringback, url: str) -> None:
    """By status, DAG, run, text, destination and time, as ages and as ISO times; alone and together."""
    put(
        url,
        ("msg_1", "gone", 5 * HOUR, {}),
        ("msg_2", "refused", HOUR, {"dag_id": "stock", "run_id": "50%"}),
        ("msg_3", "delivered", 60, {"destination": "portal", "run_id": "500"}),
    )
    assert listed(ringback) == ["msg_3", "msg_2", "msg_1"]
    assert listed(ringback, "--limit", "2") == ["msg_3", "msg_2"]
    assert listed(ringback, "--status", "gone", "--status", "refused") == ["msg_2", "msg_1"]
    assert listed(ringback, "--dag-id", "stock") == ["msg_2"]
    assert listed(ringback, "--run-id", "500") == ["msg_3"]
    assert listed(ringback, "--text", "0%") == ["msg_2"]
    assert listed(ringback, "--destination", "portal", "--status", "delivered") == ["msg_3"]
    assert listed(ringback, "--since", "2h", "--until", "30m") == ["msg_2"]
    assert listed(ringback, "--until", "2020-01-01T00:00Z") == []


def test_the_list_is_for_people_and_for_programs(ringback: Ringback, url: str) -> None:
    """A line for each event; one document of JSON, with the same names in both databases; no secret in either."""
    put(url, ("msg_1", "due", HOUR, {"url": SECRET}))
    for_people, for_programs = ringback("list"), ringback("list", "--json")
    head, line = for_people.stdout.splitlines()
    assert head.split() == ["event", "status", "DAG", "run", "created", "attempts", "destination", "URL"]
    assert line.split()[:6] == ["msg_1", "due", "sales", "run_msg_1", "60m", "ago"]
    assert line.endswith("https://…@portal.example/completions?…")
    (event,) = json.loads(for_programs.stdout)["events"]
    assert event["next_attempt_at"] - event["created_at"] == pytest.approx(HOUR + 60, abs=5)
    assert {name: value for name, value in event.items() if not name.endswith("_at")} == {
        "event_id": "msg_1",
        "status": "due",
        "dag_id": "sales",
        "run_id": "run_msg_1",
        "state": "success",
        "destination": "default",
        "url": "https://…@portal.example/completions?…",
        "reported_by": "task",
        "attempts": 0,
    }
    assert not [secret for secret in ("pa55word", "t0psecret") if secret in for_people.stdout + for_programs.stdout]


def test_one_event_is_shown_with_its_body_and_attempts(ringback: Ringback, url: str) -> None:
    """What was sent, what came of it, when it is tried again; what its URL hides is hidden in the body, too."""
    body = json.dumps({"audience": SECRET, "data": {"result": {"note": "ünï"}}}).encode()
    put(url, ("msg_1", "due", HOUR, {"url": SECRET, "body": body}))
    shown = ringback("show", "msg_1").stdout
    assert "next attempt" in shown
    assert "attempt 1: task," in shown
    assert "answer 410 in 0.25 s, status 410, said 'no more'" in shown
    assert '"result": {\n        "note": "ünï"' in shown
    document = json.loads(ringback("show", "msg_1", "--json").stdout)
    assert document["event"]["body"] == {
        "audience": "https://…@portal.example/completions?…",
        "data": {"result": {"note": "ünï"}},
    }
    assert [(attempt["status"], attempt["excerpt"]) for attempt in document["attempts"]] == [(410, "no more")]
    assert not [secret for secret in ("pa55word", "t0psecret") if secret in shown + json.dumps(document)]


def test_an_unknown_event_is_told_by_the_exit_code(ringback: Ringback) -> None:
    """A script notices that the id was wrong."""
    done = ringback("show", "msg_\x1b[31m9")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "ringback: no event 'msg_\\x1b[31m9' is in the outbox\n"


def test_the_command_runs_as_a_process(environment: dict[str, str], url: str) -> None:
    """Standard output has the document and nothing else, whatever Airflow prints when it is loaded."""
    put(url, ("msg_1", "gone", HOUR, {}))
    command = [sys.executable, "-m", "ringback_cli", "outbox", "list", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert [event["event_id"] for event in json.loads(done.stdout)["events"]] == ["msg_1"]


def test_malicious_rows_are_shown_and_do_nothing(ringback: Ringback, url: str) -> None:
    """Control characters never reach the terminal, markup is text, and a body may be anything."""
    nasty = "[red]\x1b]0;owned\x07\u202e\u2028[/] \r[link=x]"
    put(
        url,
        (
            "msg_[bold]1",
            "gone",
            60,
            {"dag_id": nasty, "run_id": nasty, "body": b'{"\xff": ["' + b"\x1b[2J" * 9 + b'"]}'},
        ),
        ("msg_2", "gone", 50, {"body": b"[" * 2_000_000}),
        ("msg_3", "gone", 40, {"body": b"", "url": "http://[::1"}),
        ("msg_4", "gone", 30, {"body": b'"\\ud800\\u001b[31m"', "destination": "\x1b[0m"}),
    )
    for arguments in (("list",), *(("show", id_) for id_ in ("msg_[bold]1", "msg_2", "msg_3", "msg_4"))):
        for options in ((), ("--json",)):
            done = ringback(*arguments, *options)
            assert done.exit_code == 0, done.stderr
            assert "Traceback" not in done.stderr
            assert len(done.stdout) < 400_000
            assert all(char.isprintable() or char == "\n" for char in done.stdout) or options
            assert "\x1b" not in done.stdout
            if options:
                json.loads(done.stdout)
    rows = ringback("list").stdout.splitlines()
    assert len(rows) == 5
    assert "[red]·]0;owned···[/] ·[link=x]" in rows[-1]


def test_text_that_is_none_is_shown(ringback: Ringback, url: str) -> None:
    """SQLite keeps any bytes as text, if another program writes them."""
    if url.startswith("postgresql"):
        return
    put(url, ("msg_1", "gone", 60, {}))
    outbox = Outbox.open(url, wait=5)
    with outbox._database.writing() as connection:
        connection.execute(text("UPDATE ringback_event SET dag_id = CAST(x'61ff' AS TEXT), created_at = 9e300"))
    outbox.close()
    for arguments in (("list",), ("show", "msg_1"), ("list", "--json"), ("show", "msg_1", "--json")):
        done = ringback(*arguments)
        assert (done.exit_code, "a\ufffd" in done.stdout) == (0, True), done.stderr


def test_events_are_sent_again_by_name(ringback: Ringback, url: str) -> None:
    """They become due, and no other does."""
    put(url, ("msg_1", "gone", HOUR, {}), ("msg_2", "gone", HOUR, {}))
    done = ringback("redeliver", "msg_1", "--yes")
    assert (done.exit_code, done.stdout) == (0, "1 event is due again; a relay delivers them.\n"), done.stderr
    assert (status_of(url, "msg_1"), status_of(url, "msg_2")) == ("due", "gone")


def test_events_are_sent_again_by_filter(ringback: Ringback, url: str) -> None:
    """What was given up or refused, unless a status is said; delivered ones only since a time that is said."""
    put(
        url,
        *((f"msg_{number}", "gone", HOUR, {}) for number in range(3)),
        ("msg_old", "gone", 9 * HOUR, {}),
        ("msg_ok", "delivered", HOUR, {}),
        ("msg_other", "gone", HOUR, {"dag_id": "stock"}),
    )
    tried = ringback("redeliver", "--since", "2h", "--dag-id", "sales", "--dry-run", "--json")
    assert json.loads(tried.stdout) == {"events": 3, "or_more": False, "dry_run": True}
    assert status_of(url, "msg_1") == "gone"
    done = ringback("redeliver", "--since", "2h", "--dag-id", "sales", "--yes", "--json")
    assert json.loads(done.stdout) == {"events": 3, "or_more": False, "dry_run": False}
    assert [status_of(url, f"msg_{name}") for name in (1, "old", "ok", "other")] == ["due", "gone", "delivered", "gone"]
    assert ringback("redeliver", "--since", "2h", "--status", "delivered", "--yes").exit_code == 0
    assert status_of(url, "msg_ok") == "due"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("redeliver",), 2, "name events, or say which"),
        (("redeliver", "--since", "yesterday"), 2, "neither a time such as"),
        (("redeliver", "--since", "9999999999d"), 2, "neither a time such as"),
        (("redeliver", "--status", "delivered"), 2, "delivered is not one of"),
        (("redeliver", "--status", "leased", "msg_1"), 2, "leased is not one of"),
        (("redeliver", "msg_1"), 2, "Send 1 event again? Nobody can answer here: say --yes."),
        (("redeliver", "msg_9", "--yes"), 1, ""),
        (("purge", "--before", "1h"), 2, "Nobody can answer here: say --yes."),
        (("purge", "--before", "9h", "--yes"), 1, ""),
        (("purge",), 2, "--before"),
        (("list", "--status", "nonsense"), 2, "nonsense"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    ringback: Ringback, url: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Exit code 2 for what cannot be right or would need an answer, 1 where nothing is found."""
    put(url, ("msg_1", "gone", 2 * HOUR, {}))
    done = ringback(*arguments)
    assert done.exit_code == code, done.stderr
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert status_of(url, "msg_1") == "gone"


@pytest.mark.parametrize(("answer", "code", "status"), [("y", 0, "due"), ("n", 1, "gone")])
def test_on_a_terminal_it_asks_with_the_number(
    environment: dict[str, str], url: str, answer: str, code: int, status: str
) -> None:
    """No is an answer, too."""
    put(url, ("msg_1", "gone", HOUR, {}), ("msg_2", "gone", HOUR, {}))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ringback_cli", "outbox", "redeliver", "--status", "gone"],
        env=environment,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, f"{answer}\n".encode())
    _, asked = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert "Send 2 events again? [y/N]" in asked
    assert (process.returncode, status_of(url, "msg_1")) == (code, status)


def test_what_is_over_is_purged(ringback: Ringback, url: str) -> None:
    """With its attempts; what waits stays, however old."""
    put(url, ("msg_1", "gone", 50 * HOUR, {}), ("msg_2", "due", 50 * HOUR, {}), ("msg_3", "gone", HOUR, {}))
    done = ringback("purge", "--before", "2d", "--yes", "--json")
    assert json.loads(done.stdout) == {"events": 1}, done.stderr
    assert [status_of(url, f"msg_{number}") for number in (1, 2, 3)] == [None, "due", "gone"]


def test_every_command_has_an_example(ringback: Ringback) -> None:
    """In its help."""
    for command in ("list", "show", "redeliver", "purge", "migrate"):
        assert f"Example: ringback outbox {command}" in " ".join(ringback(command, "--help").stdout.split())


def test_whoever_said_yes_waits_for_no_count(url: str, ringback: Ringback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a million events it takes longer than a command has."""
    put(url, ("msg_1", "dead", HOUR, {}))

    def count(*arguments: Any, **options: Any) -> None:
        raise AssertionError("it counts")

    monkeypatch.setattr(Outbox, "count_redeliverable", count)
    done = ringback("redeliver", "--since", "2h", "--yes")
    assert (done.exit_code, done.stdout) == (0, "1 event is due again; a relay delivers them.\n"), done.output
    refused = ringback("redeliver", "--status", "hint", "--since", "2h", "--yes")
    assert refused.exit_code == 2
    assert ringback("redeliver", "--since", "2h", "--yes").exit_code == 1
