"""``ringback send``: a test event goes out, and its answer is read, as the notifier does it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from cli_servers import Asked, Server, serving
from click.testing import Result
from typer.testing import CliRunner

from ringback_cli.main import make_app
from ringback_protocol import PrivateKey, Secret, verify_event
from ringback_protocol.keys import VerificationKey

KEY, SECRET = PrivateKey.generate(), Secret.generate()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Server]:
    """A server whose paths say what it answers."""

    def reply(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        status = int(asked.path.rpartition("/")[2])
        headers = {"retry-after": "7"} if status == 503 else {"location": "/204"} if status == 302 else {}
        return status, headers, b"" if status == 204 else b"said \x1b[2J"

    with serving(reply) as server:
        yield server


def send(*arguments: str, key: str = KEY.reveal(), given: str = "") -> Result:
    variables = {"RINGBACK_SIGNING_KEY": key, "COLUMNS": "250"}
    return CliRunner().invoke(make_app(), ["send", *arguments], input=given, env=variables)


@pytest.mark.parametrize(
    ("key", "trusted"), [(KEY.reveal(), KEY.public()), (SECRET.reveal(), SECRET)], ids=["Ed25519", "HMAC"]
)
def test_what_is_sent_is_believed(receiver: Server, key: str, trusted: VerificationKey) -> None:
    """By the protocol, with what was asked for in it, whichever scheme signs."""
    url = f"{receiver.url}/204"
    done = send(
        *(url, "--state", "failed", "--dag-id", "sales", "--run-id", "r1", "--correlation-id", "req_1"),
        *("--reason", "timed_out", "--result", '{"rows": 3}', "--source", "https://a.example"),
        key=key,
    )
    assert done.exit_code == 0, done.output
    asked = receiver.asked[-1]
    event = verify_event(asked.headers, asked.body, keys=[trusted], audiences=[url], now=time.time())
    assert (event.data.state, event.data.dag_id, event.data.run_id, event.data.reason, event.data.result) == (
        "failed",
        "sales",
        "r1",
        "timed_out",
        {"rows": 3},
    )
    assert (event.correlationid, event.source) == ("req_1", "https://a.example")
    assert key not in done.output


@pytest.mark.parametrize(
    ("status", "code", "notifier", "said"),
    [
        (204, 0, "delivered", "delivered"),
        (202, 0, "delivered", "no request waits for it"),
        (410, 1, "stop", "never send this event again"),
        (302, 1, "retry", "redirects are never followed"),
        (401, 1, "retry", "it would try again: status 401"),
        (503, 1, "retry", "not before 7 s"),
    ],
)
def test_the_answer_is_read_as_the_notifier_reads_it(
    receiver: Server, status: int, code: int, notifier: str, said: str
) -> None:
    """In a sentence, in one word for programs, and in the exit code."""
    done = send(f"{receiver.url}/{status}", "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["status"], answer["notifier"]) == (code, status, notifier)
    assert said in answer["said"]
    plain = send(f"{receiver.url}/{status}")
    assert f"answer: {status}" in plain.stdout
    assert "\x1b" not in plain.stdout


def test_nobody_there_is_an_answer_too() -> None:
    """The notifier would try again."""
    done = send("http://127.0.0.1:1/hook", "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["status"], answer["notifier"]) == (1, None, "retry")
    assert "refused" in answer["error"]


def test_a_dry_run_sends_nothing_but_can_be_pasted(receiver: Server) -> None:
    """The very request, signed, as a command that a shell runs; quotes in it are no trouble."""
    receiver.asked.clear()
    url = f"{receiver.url}/it's/204"
    done = send(url, "--result", 'it\'s "$HOME"', "--dry-run", key=SECRET.reveal())
    assert done.exit_code == 0, done.output
    assert receiver.asked == []
    assert SECRET.reveal() not in done.stdout
    subprocess.run(["/bin/sh", "-c", done.stdout], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True)
    (asked,) = receiver.asked
    event = verify_event(asked.headers, asked.body, keys=[SECRET], audiences=[url], now=time.time())
    assert event.data.result == 'it\'s "$HOME"'


def test_a_dry_run_as_json_is_what_verify_reads() -> None:
    """One line, with the request and the command."""
    done = send("https://portal.example/hook", "--dry-run", "--json")
    said = json.loads(done.stdout)
    assert (said["url"], said["curl"].startswith("curl ")) == ("https://portal.example/hook", True)
    keys = {"RINGBACK_KEYS": str(KEY.public())}
    verified = CliRunner().invoke(make_app(), ["verify", "--url", said["url"]], input=done.stdout, env=keys)
    assert (verified.exit_code, verified.stdout.splitlines()[-1]) == (0, "verified"), verified.output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("https://portal.example/", "--dag-id", "sales\udcff"), 2, "no text in UTF-8"),
        (("nowhere",), 2, "Invalid value for URL: must start with https://"),
        (("https://u:p@portal.example/",), 2, "must not contain credentials"),
        (("https://portal.example/", "--correlation-id", "a b"), 2, "Invalid value for --correlation-id"),
        (("https://portal.example/", "--key-file", "nowhere"), 2, "cannot be read"),
        (("http://169.254.169.254/latest",), 1, "metadata service"),
        (("https://portal.example/", "--result", json.dumps("x" * 21_000)), 1, "answer"),
        (("https://portal.example/", "--ca-bundle", "nowhere.pem"), 1, "ca_bundle cannot be used"),
    ],
)
def test_what_cannot_be_sent_is_told(arguments: tuple[str, ...], code: int, said: str) -> None:
    """In words, with the option's name."""
    if said == "answer":  # a large result does not travel, and the event goes without it
        done = send("http://127.0.0.1:1/", *arguments[1:])
        assert (done.exit_code, "no answer: connect" in done.stdout) == (code, True), done.output
        return
    done = send(*arguments)
    assert done.exit_code == code, done.output
    assert said in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("key", ["", "whsk_x", str(KEY.public()), "hello"], ids=["none", "cut", "public", "word"])
def test_what_is_no_signing_key_is_told(key: str) -> None:
    """And nothing of it is shown."""
    done = send("http://127.0.0.1:1/", key=key)
    assert done.exit_code in (1, 2)
    assert "http://127.0.0.1:1" not in done.stdout
    if len(key) > 10:
        assert key[10:] not in done.output
