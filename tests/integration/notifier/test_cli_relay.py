"""The commands that look after the relay and the outbox, as an operator types them."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ringback_notifier.outbox import Attempt, Outbox, OutboxEvent

HOUR = 3_600.0
Ringback = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outbox.db'}"


@pytest.fixture
def ringback(tmp_path: Path, url: str) -> Ringback:
    """Run ``ringback …`` on a machine where Airflow is configured and nothing runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'none.db'}",
        "COLUMNS": "200",
    }

    def run(*arguments: str, outbox_url: str = url) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ringback_cli", *arguments],
            env={**environment, "AIRFLOW__RINGBACK__OUTBOX_URL": outbox_url},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def dead_event(number: int, dag_id: str, *, at: float) -> OutboxEvent:
    return OutboxEvent(
        event_id=f"msg_{number}",
        dag_id=dag_id,
        run_id=f"run_{number}",
        state="success",
        destination="default",
        url="https://portal.example/completions?token=secret",
        body=b"{}",
        reported_by="relay",
        ended_at=at,
    )


def fill(url: str, *events: tuple[int, str, float]) -> None:
    """Put events into the outbox that were given up so many seconds ago."""
    outbox = Outbox.open(url, wait=1)
    now = time.time()
    for number, dag_id, age in events:
        event = dead_event(number, dag_id, at=now - age)
        attempt = Attempt(sender="relay", at=now - age, duration=0.1, status=410, error="gone")
        outbox.record(event, [attempt], status="gone", due_at=now - age, now=now - age)
    outbox.close()


def test_migrating_makes_no_file(ringback: Ringback, tmp_path: Path) -> None:
    """It would belong to whoever typed the command, root perhaps, and Airflow's components could not use it."""
    done = ringback("outbox", "migrate")
    assert done.returncode == 1
    assert "Airflow's components make it" in done.stderr
    assert not (tmp_path / "outbox.db").exists()


def test_migrating_brings_an_existing_file_to_this_release(ringback: Ringback, url: str, tmp_path: Path) -> None:
    """An empty one that the operator made for Airflow's user, for one; it keeps its mode."""
    path = tmp_path / "outbox.db"
    path.touch(mode=0o640)
    done = ringback("outbox", "migrate")
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["The outbox is up to date."]), done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM ringback_event").fetchone() == (0,)
    connection.close()


def test_the_status_shows_relays_and_counts(ringback: Ringback, url: str) -> None:
    """Relays that are alive, those that are gone, and how many events there are."""
    fill(url, (1, "sales", HOUR))
    outbox = Outbox.open(url, wait=1)
    now = time.time()
    for name, until in (("a", now + 60), ("b", now - 60)):
        outbox.take_duty(f"relay/{name}", name, now=now - 120, until=until)
        outbox.set_duty_value(f"relay/{name}", name, json.dumps({"kind": "dag", "counts": {"delivered": 3, "dead": 0}}))
    outbox.close()
    said = json.loads(ringback("relay", "status", "--json").stdout)
    assert {relay["relay"]: relay["alive"] for relay in said["relays"]} == {"a": True, "b": False}
    assert {status: count for status, count in said["events"].items() if count} == {"gone": 1}
    lines = ringback("relay", "status").stdout.splitlines()
    assert lines[0].split() == ["alive", "dag", "a", "3", "delivered"]
    assert lines[-1] == "events: 1 gone"


def test_a_status_shows_what_others_wrote_without_obeying_it(ringback: Ringback, url: str) -> None:
    """A relay's name and its last error came from elsewhere, and a row may hold anything.

    One that is a DAG's task counts as alive between two of its runs.
    """
    outbox = Outbox.open(url, wait=1)
    now = time.time()
    told = {
        "between": {"kind": "dag", "since": now - 40},
        "evil\x9b2J": {"kind": "process", "last_error": "said \x1b[2J", "alive": False, "counts": 3},
        "odd": [],
    }
    for name, value in told.items():
        outbox.take_duty(f"relay/{name}", name, now=now - 120, until=now - 10 if name == "between" else now + 60)
        outbox.set_duty_value(f"relay/{name}", name, json.dumps(value))
    outbox.close()
    said = ringback("relay", "status", "--json").stdout
    assert "\x9b" not in said
    assert {relay["relay"]: relay["alive"] for relay in json.loads(said)["relays"]} == dict.fromkeys(told, True)
    shown = ringback("relay", "status").stdout
    assert "last error: said ·[2J" in shown
    assert shown.replace("\n", "").isprintable()


def test_a_relay_without_its_connection_says_how_to_make_it(ringback: Ringback) -> None:
    """It is the first thing that everybody forgets."""
    done = ringback("relay", "--for", "1")
    assert done.returncode == 1
    assert "airflow connections add ringback_airflow" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_outbox_url_that_cannot_be_is_explained(ringback: Ringback) -> None:
    """The option is named, and no password is shown."""
    done = ringback("relay", "status", outbox_url="mysql://ringback:s3cret@db.example/outbox")
    assert done.returncode == 1
    assert "[ringback] outbox_url" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
