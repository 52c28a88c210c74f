"""``ringback keys public`` and ``rotate``: from what Airflow has to what both sides need."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import Result
from typer.testing import CliRunner

from ringback_cli.keys import app
from ringback_cli.keys_rotate import MOST_KEYS
from ringback_notifier._destination import parse_destination
from ringback_protocol import (
    PrivateKey,
    Secret,
    parse_signing_keys,
    parse_verification_keys,
    sign,
    verify_signature,
    verifying,
)

NEWER, OLDER, SECRET = PrivateKey.generate(), PrivateKey.generate(), Secret.generate()
PASSWORD = f"{NEWER.reveal()} {OLDER.reveal()}"
CONNECTION = {
    "conn_type": "ringback",
    "password": PASSWORD,
    "extra": {"allow": ["https://portal.example/"], "headers": {"x-tenant": "7"}},
    "host": None,
}


def keys(command: str, *arguments: str, given: str = PASSWORD) -> Result:
    return CliRunner().invoke(app, [command, *arguments], input=given)


def rotated(*arguments: str, given: str = PASSWORD) -> Any:
    done = keys("rotate", "--json", *arguments, given=given)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


FORMS = {
    "password": PASSWORD,
    "lines": PASSWORD.replace(" ", "\n") + "\n",
    "connection": json.dumps(CONNECTION),
    "export": json.dumps({"other": {"conn_type": "http"}, "ringback_default": {**CONNECTION, "extra": "{}"}}),
    "get": json.dumps(
        [
            {
                "id": "1",
                "conn_id": "ringback_default",
                "conn_type": "ringback",
                "description": "the portal",
                "host": None,
                "schema": None,
                "login": None,
                "password": PASSWORD,
                "port": "8080",
                "is_encrypted": "True",
                "is_extra_encrypted": "True",
                "extra_dejson": CONNECTION["extra"],
                "get_uri": f"ringback://:{quote(PASSWORD)}@:8080",
            }
        ]
    ),
}
"""As Airflow 3.3.2 prints and writes them."""


@pytest.mark.parametrize("form", FORMS)
def test_the_public_halves_are_printed(form: str) -> None:
    """In the order of the signing keys, from whatever form Airflow gives; and no signing key is."""
    done = keys("public", given=FORMS[form])
    printed = [line.strip() for line in done.stdout.splitlines() if line.startswith("  whpk_")]
    assert printed == [str(NEWER.public()), str(OLDER.public())]
    as_json = keys("public", "--json", given=FORMS[form])
    assert json.loads(as_json.stdout) == {"verification_keys": printed, "shared_secrets": 0}
    for shown in (done, as_json):
        assert "whsk_" not in shown.stdout + shown.stderr


def test_a_shared_secret_has_no_public_half() -> None:
    """It is counted, never shown; alone it is an error."""
    done = keys("public", given=f"{SECRET.reveal()} {OLDER.reveal()}")
    assert str(OLDER.public()) in done.stdout
    assert "1 more: a shared secret" in done.stdout
    alone = keys("public", given=SECRET.reveal())
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert "no Ed25519 key" in alone.stderr
    assert SECRET.reveal()[6:] not in done.stdout + alone.stderr


@pytest.mark.parametrize("form", FORMS)
def test_a_rotation_puts_a_new_key_first_and_keeps_the_old(form: str) -> None:
    """What one side has before is believed by what the other has after, and the other way round."""
    answer = rotated(given=FORMS[form])
    assert answer["password"].endswith(f" {PASSWORD}")
    before, after = parse_signing_keys(PASSWORD), parse_signing_keys(answer["password"])
    assert len(after) == 3
    old_receiver = parse_verification_keys([str(NEWER.public())])
    new_receiver = parse_verification_keys(answer["verification_keys"])
    for signing, trusted in ((before, new_receiver), (after, old_receiver), (after, new_receiver[:1])):
        headers = sign("msg_1", b"{}", keys=signing, timestamp=1_700_000_000)
        assert verify_signature(headers, b"{}", keys=trusted, now=1_700_000_000) == "msg_1"


def test_the_rest_of_the_connection_stays_as_it_was() -> None:
    """What is printed can be imported as it is."""
    connection = rotated(given=FORMS["connection"])["connection"]
    assert {**connection, "password": PASSWORD} == CONNECTION
    printed = keys("rotate", given=FORMS["export"]).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("  {")]
    ((conn_id, imported),) = json.loads(line).items()
    assert conn_id == "ringback_default"
    destination = parse_destination(
        "default", conn_type=imported["conn_type"], password=imported["password"], extra=imported["extra"]
    )
    assert len(destination.keys) == 3
    assert rotated(given=PASSWORD)["connection"] is None


def imported(folder: Path, printed: str) -> Any:
    """Return the one connection of a file, as `airflow connections import` reads it."""
    from airflow.secrets.local_filesystem import load_connections_dict

    file = folder / "connections.json"
    file.write_text(printed, encoding="utf-8")
    ((conn_id, connection),) = load_connections_dict(str(file)).items()
    assert conn_id == connection.conn_id
    return connection


@pytest.mark.parametrize("arguments", [[], ["--finish"]])
@pytest.mark.parametrize("form", ["connection", "export", "get"])
def test_what_is_printed_is_what_airflow_imports(tmp_path: Path, form: str, arguments: Sequence[str]) -> None:
    """From whatever Airflow gives a connection away in; nowhere else in it are the old keys."""
    printed = keys("rotate", *arguments, given=FORMS[form]).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("  {")]
    connection = imported(tmp_path, line)
    assert (connection.conn_id, connection.conn_type) == ("ringback_default", "ringback")
    assert connection.extra_dejson == (CONNECTION["extra"] if form != "export" else {})
    assert line.count(OLDER.reveal()) == (0 if arguments else 1)
    assert quote(OLDER.reveal()) not in line.replace(OLDER.reveal(), "")
    if form == "get":
        assert (connection.description, connection.port) == ("the portal", 8080)
    answer = rotated(*arguments, given=FORMS[form])
    again = imported(tmp_path, json.dumps({answer["conn_id"]: answer["connection"]}))
    assert (again.password, again.extra) == (answer["password"], connection.extra)


def test_what_airflow_shows_of_a_connection_can_be_rotated(tmp_path: Path) -> None:
    """The command itself is asked, not what it printed once."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW_CONN_RINGBACK_PORTAL": json.dumps(CONNECTION),
    }
    shown = subprocess.run(
        [sys.executable, "-m", "airflow", "connections", "get", "ringback_portal", "-o", "json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    answer = rotated("--destination", "portal", given=shown[shown.index("[") :])
    connection = imported(tmp_path, json.dumps({answer["conn_id"]: answer["connection"]}))
    assert connection.password.endswith(f" {PASSWORD}")
    assert connection.extra_dejson == CONNECTION["extra"]


@pytest.mark.parametrize("command", ["rotate", "public"])
@pytest.mark.parametrize(
    ("found", "shown"), [("ringback_portal", "ringback_portal"), ("\x1b[2Jhush", "of another name"), (7, "7")]
)
def test_another_destinations_connection_is_refused(command: str, found: object, shown: str) -> None:
    """Its keys would be given to the wrong tenant; the message says which is which, and how to mean the other."""
    done = keys(command, given=json.dumps([{"conn_id": found, **CONNECTION}]))
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"this is connection {shown}, but ringback_default is meant: say which with --destination" in done.stderr
    assert "hush" not in done.stderr
    done = keys(command, "--destination", "portal", given=json.dumps([{"conn_id": "ringback_portal", **CONNECTION}]))
    assert done.exit_code == 0


def test_the_end_of_a_rotation_keeps_the_newest_key() -> None:
    """And says so in the other direction, too."""
    answer = rotated("--finish", given=FORMS["connection"])
    assert answer["password"] == answer["connection"]["password"] == NEWER.reveal()
    assert answer["verification_keys"] == [str(NEWER.public())]
    assert "in either order" in keys("rotate", "--finish").stdout


@pytest.mark.parametrize(
    ("given", "arguments", "prefix"),
    [
        (PASSWORD, [], "whsk_"),
        (f"{SECRET.reveal()} {OLDER.reveal()}", [], "whsec_"),
        pytest.param(SECRET.reveal(), ["--scheme", "ed25519"], "whsk_", id="secret"),
        (PASSWORD, ["--scheme", "hmac"], "whsec_"),
    ],
)
def test_the_new_key_is_of_the_newest_ones_scheme(given: str, arguments: Sequence[str], prefix: str) -> None:
    """Unless another is asked for, which is how one moves from one scheme to the other."""
    assert rotated(*arguments, given=given)["password"].startswith(prefix)


def test_the_steps_are_printed_for_both_sides() -> None:
    """In which order, and what must not be done."""
    printed = keys("rotate").stdout
    assert "1 and 2 in either order" in printed
    assert "--finish" in printed
    assert f'"{NEWER.public()}"' in printed


def test_no_more_keys_than_a_verifier_looks_at() -> None:
    """The next one's signature would be ignored."""
    assert MOST_KEYS == verifying._MAX_SIGNATURES
    given = " ".join(PrivateKey.generate().reveal() for _ in range(MOST_KEYS))
    done = keys("rotate", given=given)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "end the last rotation first" in done.stderr


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("public", "", "no key given"),
        ("public", "hush", "starts with whsk_"),
        pytest.param("public", NEWER.reveal()[:-8], "whsk_ key", id="cut key"),
        pytest.param("public", str(NEWER.public()), "can only verify", id="public key"),
        ("rotate", "{hush", "no JSON"),
        ("rotate", "[" * 100_000, "no JSON"),
        ("rotate", '{"conn_type": "ringback"}', "no connection with a password"),
        ("rotate", '{"conn_type": "http", "password": "hush"}', "conn_type is not 'ringback'"),
        ("rotate", json.dumps({"ringback_other": CONNECTION}), "no connection ringback_default"),
        ("rotate", "[1, 2]", "no connection with a password"),
        ("rotate", "x" * 1_000_001, "too much"),
        ("rotate", "\0", "starts with whsk_"),
    ],
)
def test_what_holds_no_keys_is_refused(command: str, given: str, message: str) -> None:
    """With exit code 1, a hint at what would be right, and nothing of what was given."""
    done = keys(command, given=given)
    assert (done.exit_code, done.stdout) == (1, "")
    assert message in done.stderr
    assert isinstance(done.exception, SystemExit)
    assert "hush" not in done.stderr
    assert NEWER.reveal()[5:40] not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--destination", "a b"], "--destination"), (["--finish", "--scheme", "hmac"], "--scheme")],
)
def test_options_that_cannot_be_are_refused(arguments: Sequence[str], message: str) -> None:
    """With exit code 2, as any command line's."""
    done = keys("rotate", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_one_key_has_no_rotation_to_end() -> None:
    """Nothing would change."""
    done = keys("rotate", "--finish", given=OLDER.reveal())
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no rotation is under way" in done.stderr


def test_no_key_is_taken_from_the_command_line() -> None:
    """Everybody on the machine could read it there."""
    for command in ("public", "rotate"):
        done = keys(command, NEWER.reveal(), given="")
        assert (done.exit_code, done.stdout) == (2, "")


def test_a_terminal_is_asked_without_echo() -> None:
    """What is typed is not shown, and what is printed goes elsewhere."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ringback_cli", "keys", "public", "--json"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        shown = b""
        while b"Password of the connection ringback_default" not in shown:
            shown += os.read(ours, 1_000)
        deadline = time.monotonic() + 10
        while termios.tcgetattr(theirs)[3] & termios.ECHO and time.monotonic() < deadline:
            time.sleep(0.01)
        os.write(ours, NEWER.reveal().encode() + b"\n")
        printed, _ = process.communicate(timeout=60)
    os.set_blocking(ours, False)
    with contextlib.suppress(OSError):
        shown += os.read(ours, 10_000)
    for end in (ours, theirs):
        os.close(end)
    assert json.loads(printed)["verification_keys"] == [str(NEWER.public())]
    assert b"whsk_" not in shown
