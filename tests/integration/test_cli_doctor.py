"""``ringback doctor``: each check sees what is there, and nothing that it meets stops it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cli_servers import Asked, serving

from ringback_cli.diagnosis.caller import published_keys, store
from ringback_cli.diagnosis.clock import clock_finding, date_of
from ringback_cli.diagnosis.finding import Finding, Group, fine, problem, warning
from ringback_cli.diagnosis.outbox import outbox, relays
from ringback_cli.diagnosis.receiver import receiver
from ringback_cli.diagnosis.rendering import as_lines, as_members, has_problem
from ringback_cli.diagnosis.running import examine
from ringback_notifier.outbox import Outbox
from ringback_protocol import PrivateKey
from ringback_receiver._sqlite import SqliteStore

KEY = PrivateKey.generate()


def one(findings: Iterator[Finding]) -> tuple[str, str]:
    (finding,) = findings
    return finding.status, finding.saw


# --- one check at a time


@pytest.mark.parametrize(
    ("away", "status"),
    [(0, "ok"), (-20, "ok"), (40, "warning"), (-100, "warning"), (200, "problem"), (-3_600, "problem")],
)
def test_a_clock_that_is_off_is_noticed_in_time(away: float, status: str) -> None:
    """Before a signature's five minutes are over, in either direction."""
    now = 1_780_000_000.0
    assert clock_finding(now - away, now).status == status


def test_a_clock_that_is_not_told_is_no_problem() -> None:
    """A proxy may take the header away, or write what it likes."""
    assert date_of({"date": "Fri, 27 Nov 2026 10:00:00 GMT"}) == 1_795_773_600.0
    for header in ({}, {"date": "noon"}, {"date": ""}):
        assert date_of(header) is None
    assert clock_finding(None, 0.0).status == "warning"


@pytest.mark.parametrize(
    ("status", "headers", "body", "found"),
    [
        (400, {}, b'{"error": "missing_header"}', "ok"),
        (400, {}, b'{"error": "other"}', "warning"),
        (401, {}, b"<html>\x1b", "warning"),
        (403, {}, b'["missing_header"]', "warning"),
        (204, {}, b"", "problem"),
        (302, {"location": "/elsewhere"}, b"", "problem"),
        (404, {}, b"", "problem"),
        (405, {}, b"", "problem"),
        (502, {}, b"", "problem"),
    ],
)
def test_a_receiver_is_known_by_its_refusal(status: int, headers: dict[str, str], body: bytes, found: str) -> None:
    """Whoever takes what nobody signed is none."""
    with serving(lambda asked: (status, headers, body)) as server:
        assert one(receiver(f"{server.url}/hook?token=hush", None))[0] == found
        assert [(asked.method, asked.body) for asked in server.asked] == [("POST", b"{}")]


def test_a_receiver_that_is_away_is_a_problem() -> None:
    """And the query of its URL, which may be a secret, is not shown."""
    (finding,) = receiver("http://127.0.0.1:1/hook?token=hush", None)
    assert (finding.status, "hush" in repr(finding)) == ("problem", False)
    assert one(receiver("ftp://portal/", None))[0] == "problem"
    assert "CA certificates" in one(receiver("https://127.0.0.1:1/", "/nowhere.pem"))[1]


def test_published_keys_are_shown_or_their_lack(tmp_path: Path) -> None:
    """They are no secret."""
    published = {"destination": "default", "keys": [{"key": str(KEY.public()), "valid_for": 60}]}
    answers = {"/ringback/keys/default": (200, published), "/ringback/keys/none": (404, {"error": "no_public_keys"})}

    def reply(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        status, body = answers.get(asked.path, (500, {}))
        return status, {}, json.dumps(body).encode()

    with serving(reply) as server:
        assert one(published_keys(server.url, "default")) == (
            "ok",
            f"{server.url}/ringback/keys/default has {KEY.public()}",
        )
        assert one(published_keys(server.url, "none"))[0] == "problem"
        assert "status 500" in one(published_keys(server.url, "other"))[1]
    assert one(published_keys("http://airflow.example", "default"))[0] == "problem"


async def made(path: Path) -> None:
    opened = SqliteStore(str(path))
    await opened.open()
    await opened.close()


def test_a_store_is_looked_at_but_never_made_or_migrated(tmp_path: Path) -> None:
    """A password in its URL is not shown."""
    path = tmp_path / "ringback.db"
    assert one(store(f"sqlite:///{path}"))[0] == "warning"
    assert not path.exists()
    path.write_bytes(b"no database, this" * 100)
    assert one(store(f"sqlite:///{path}"))[0] == "problem"
    path.write_bytes(b"")
    assert one(store(f"sqlite:///{path}"))[0] == "warning"
    assert path.stat().st_size == 0
    asyncio.run(made(path))
    assert one(store(f"sqlite:///{path}"))[0] == "ok"
    status, said = one(store("postgresql://u:hush@127.0.0.1:1/x"))
    assert (status, "hush" in said) == ("problem", False)


# --- all of them


def test_a_check_that_breaks_or_hangs_hides_no_other() -> None:
    """What it raised is named by its kind only: its text may hold a password."""
    hold = threading.Event()

    def breaks() -> Iterator[Finding]:
        yield fine("one", "seen")
        raise ValueError("postgresql://u:hush@h/")

    def hangs() -> Iterator[Finding]:
        yield fine("two", "seen")
        hold.wait()

    groups = [
        Group(section="A", subject="breaking", checks=(breaks, partial(iter, [fine("three", "seen")]))),
        Group(section="B", subject="hanging", checks=(hangs,)),
    ]
    started = time.monotonic()
    diagnosis = examine(groups, within=0.3)
    assert time.monotonic() - started < 5
    hold.set()
    found = {finding.subject: finding for _, findings in diagnosis for finding in findings}
    assert {subject: finding.status for subject, finding in found.items()} == {
        "one": "ok",
        "breaking": "problem",
        "three": "ok",
        "two": "ok",
        "hanging": "problem",
    }
    assert "ValueError" in found["breaking"].saw
    assert "hush" not in repr(found)


HANGING = """
import asyncio, sys, time
from ringback_cli import doctor, main
from ringback_cli.diagnosis import caller

def hangs(url):
    yield from asyncio.run(asyncio.to_thread(time.sleep, 300))

doctor._WITHIN, doctor._in_airflow, caller.store = 0.5, lambda names: [], hangs
sys.argv = ["ringback", "doctor", "--store", "sqlite://", "--json"]
main.main()
"""


def test_what_hangs_does_not_keep_the_command() -> None:
    """As a look-up of a name may: its thread is asyncio's, for which the interpreter would wait."""
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1, done.stderr
    assert "no answer within" in json.loads(done.stdout)["findings"][0]["saw"]


def test_a_warning_is_no_problem() -> None:
    """People see what to do, programs a verdict."""
    diagnosis = [("A", [fine("x", "1"), warning("y", "2", "do this")]), ("A", [fine("z", "3")])]
    assert list(as_lines(diagnosis)) == [
        "A",
        "  ok       x: 1",
        "  warning  y: 2",
        "           → do this",
        "  ok       z: 3",
        "0 problems, 1 warning, 2 ok",
    ]
    assert not has_problem(diagnosis)
    assert has_problem([*diagnosis, ("B", [problem("p", "4")])])
    assert as_members(diagnosis)["findings"][0]["todo"] is None


def doctor(folder: Path, *arguments: str, **variables: str) -> Any:
    """Run it where Airflow is installed; nothing else of it runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "RINGBACK"))}
    environment |= {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'none.db'}",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-m", "ringback_cli", "doctor", "--json", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done, json.loads(done.stdout)


def test_everything_that_is_wrong_beside_airflow_is_found_at_once(tmp_path: Path) -> None:
    """Options, names, connections, outbox, account: each with its mend, and no secret anywhere."""
    connection = {"conn_type": "ringback", "password": KEY.reveal(), "extra": {}}
    broken = {"conn_type": "ringback", "password": "whsk_hush", "extra": {"allow": ["https://portal.example/"]}}
    done, said = doctor(
        tmp_path,
        *("--destination", "default", "--destination", "broken"),
        AIRFLOW__RINGBACK__SWEEP_INTERVAL="often",
        AIRFLOW__RINGBACK__LISTENER="False",
        AIRFLOW__RINGBACK__OUTBOX_URL="mysql://ringback:hush@db.example/outbox",
        AIRFLOW_CONN_RINGBACK_DEFAULT=json.dumps(connection),
        AIRFLOW_CONN_RINGBACK_BROKEN=json.dumps(broken),
        AIRFLOW_CONN_RINGBACK_AIRFLOW=json.dumps(
            {"conn_type": "http", "host": "http://127.0.0.1:1", "login": "relay", "password": "hush"}
        ),
    )
    found = [(finding["subject"], finding["status"]) for finding in said["findings"]]
    assert set(found) == {
        ("[ringback]", "problem"),
        ("name", "problem"),
        ("listener", "warning"),
        ("connection ringback_default", "ok"),
        ("connection ringback_default", "problem"),
        ("connection ringback_broken", "problem"),
        ("outbox", "problem"),
        ("relay", "problem"),
        ("connection ringback_airflow", "problem"),
    }, said
    assert done.returncode == 1
    assert "hush" not in done.stdout + done.stderr
    assert KEY.reveal() not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_outbox_is_looked_at_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a relay, and beside workers elsewhere, it is a problem; it is neither made nor changed."""
    path = tmp_path / "outbox.db"
    url = f"sqlite:///{path}"
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", url)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    assert [(finding.subject, finding.status) for finding in (*outbox(), *relays())] == [
        ("outbox", "problem"),
        ("outbox", "warning"),
        ("relay", "warning"),
    ]
    path.touch()
    assert "ringback outbox migrate" in list(outbox())[-1].todo
    assert list(relays()) == []
    assert path.stat().st_size == 0
    opened = Outbox.open(url, wait=5)
    found = {(finding.subject, finding.status): finding.saw for finding in (*outbox(), *relays())}
    assert "with CeleryExecutor tasks may run on other machines" in found["outbox", "problem"]
    assert "can be written" in found["outbox", "ok"]
    assert "none is alive" in found["relay", "problem"]
    assert found["events", "ok"] == "none"
    now = time.time()
    opened.take_duty("relay/a", "a", now=now - 120, until=now - 60)
    assert next(finding.status for finding in relays()) == "warning"
    opened.set_duty_value("relay/a", "a", json.dumps({"kind": "dag", "since": now - 90}))
    assert next(finding.status for finding in relays()) == "ok"  # the next run of its DAG is about to begin
    opened.set_duty_value("relay/a", "a", "[]")
    opened.take_duty("relay/b", "b", now=now, until=now + 60)
    assert next(finding.saw for finding in relays()) == "1 is alive"
    opened.close()
