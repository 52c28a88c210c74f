"""``ringback verify`` explains; it never believes what the protocol does not."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ringback_cli.captured import NotCaptured, parse_captured, request_member
from ringback_cli.event_checks import WORDS, judge
from ringback_cli.main import make_app
from ringback_protocol import (
    CompletionData,
    CompletionEvent,
    PrivateKey,
    Refusal,
    Secret,
    VerificationError,
    encode_event,
    sign,
    verify_event,
)

URL = "https://portal.example/airflow/completions"
KEY, OTHER, SECRET = PrivateKey.generate(), PrivateKey.generate(), Secret.generate()
KEYS = (OTHER.public(), KEY.public())
NOW = 1_780_000_000
WHEN = datetime.fromtimestamp(NOW, timezone.utc)
Headers = list[tuple[str, str]]


def event_bytes(**changes: Any) -> bytes:
    data = CompletionData(dag_id="sales", run_id="r1", state="success", reported_by="task", result={"rows": 3})
    event = CompletionEvent.of(data, id="msg_1", source="s", audience=URL, correlationid=None, time=WHEN)
    return json.dumps({**json.loads(encode_event(event)), **changes}).encode()


BODY = event_bytes()


def signed(body: bytes = BODY, *, at: int = NOW, key: Any = KEY, event_id: str = "msg_1") -> Headers:
    return [("Content-Type", "application/json"), *sign(event_id, body, keys=[key], timestamp=at).items()]


def without(name: str) -> Headers:
    return [header for header in signed() if header[0] != name]


FORGERIES: dict[str, tuple[Headers, bytes, Refusal, str]] = {
    "no id": (without("webhook-id"), BODY, Refusal.MISSING_HEADER, "headers"),
    "no signature": (without("webhook-signature"), BODY, Refusal.MISSING_HEADER, "headers"),
    "two ids": ([*signed(), ("Webhook-Id", "msg_1")], BODY, Refusal.DUPLICATE_HEADER, "headers"),
    "a dot": ([*without("webhook-id"), ("webhook-id", "msg.1")], BODY, Refusal.MALFORMED_HEADER, "headers"),
    "no number": (
        [*without("webhook-timestamp"), ("webhook-timestamp", "1e9")],
        BODY,
        Refusal.MALFORMED_HEADER,
        "headers",
    ),
    "old": (signed(at=NOW - 301), BODY, Refusal.TIMESTAMP_TOO_OLD, "timestamp"),
    "ahead": (signed(at=NOW + 301), BODY, Refusal.TIMESTAMP_TOO_NEW, "timestamp"),
    "another key": (signed(key=PrivateKey.generate()), BODY, Refusal.BAD_SIGNATURE, "signature"),
    "a space more": (signed(), BODY + b" ", Refusal.BAD_SIGNATURE, "signature"),
    "too large": (signed(), BODY + b" " * 20_000, Refusal.TOO_LARGE, "size"),
    "no JSON": (signed(b"{"), b"{", Refusal.MALFORMED_EVENT, "event"),
    "version 2": (
        signed(two := event_bytes(dataschema="urn:ringback:completion:2")),
        two,
        Refusal.UNKNOWN_VERSION,
        "event",
    ),
    "another id": (signed(event_id="msg_2"), BODY, Refusal.ID_MISMATCH, "id"),
    "another URL": (
        signed(theirs := event_bytes(audience="https://evil.example/")),
        theirs,
        Refusal.WRONG_AUDIENCE,
        "audience",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_fails_at_its_check(forgery: str) -> None:
    """What was checked before holds, what comes after is not looked at, and the reason is in words."""
    headers, body, refusal, failing = FORGERIES[forgery]
    judgement = judge(headers, body, keys=KEYS, url=URL, now=NOW)
    assert (judgement.event, judgement.refusal) == (None, refusal)
    names = [check.name for check in judgement.checks]
    outcomes = [check.outcome for check in judgement.checks]
    at = names.index(failing)
    assert outcomes == ["ok"] * at + ["failed"] + ["skipped"] * (len(names) - at - 1)
    assert judgement.checks[at].said


def test_every_refusal_has_words() -> None:
    """None is left to a code."""
    assert set(WORDS) == set(Refusal)
    assert {refusal for _, _, refusal, _ in FORGERIES.values()} == set(Refusal)


def test_what_is_right_is_shown_with_its_key() -> None:
    """The public key that signed it; of a shared secret only that it did."""
    checks = {check.name: check for check in judge(signed(), BODY, keys=KEYS, url=URL, now=NOW).checks}
    assert {check.outcome for check in checks.values()} == {"ok"}
    assert checks["signature"].said == f"by {KEY.public()}"
    shared = judge(signed(key=SECRET), BODY, keys=(*KEYS, SECRET), url=URL, now=NOW)
    assert {check.name: check.said for check in shared.checks}["signature"] == "by the shared secret that is key 3"
    assert SECRET.reveal() not in repr(shared)


@given(st.data())
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_it_believes_exactly_what_the_protocol_believes(data: st.DataObject) -> None:
    """Whatever is bent, in headers, body, keys, clock or URL."""
    headers, body = signed(), BODY
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(body) - 1))
        body = body[:at] + data.draw(st.binary(max_size=2)) + body[at + data.draw(st.integers(0, 2)) :]
        if data.draw(st.booleans()):
            headers = signed(body)
    text = st.text(st.characters(codec="latin-1"), max_size=12)
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(headers) - 1))
        name, value = headers[at]
        headers = [*headers]
        headers[at] = data.draw(
            st.sampled_from([(name, value), (name.upper(), value), (name, value[:-1]), ("x", value)])
            | st.tuples(st.just(name), text)
        )
    now = NOW + data.draw(st.sampled_from([0, 300, 301, -300, -301]))
    keys = data.draw(st.sampled_from([KEYS, (OTHER.public(),), (SECRET,)]))
    url = data.draw(st.sampled_from([URL, URL + "/", None]))
    judgement = judge(headers, body, keys=keys, url=url, now=now)
    try:
        verify_event(headers, body, keys=keys, audiences=[url or URL], now=now)
        believed = True
    except VerificationError:
        believed = False
    if url is not None:
        assert (judgement.event is not None) == believed
    elif believed:
        assert judgement.event is not None
    assert (judgement.refusal is None) == (judgement.event is not None)
    assert ("failed" in {check.outcome for check in judgement.checks}) == (judgement.event is None)


# --- what was captured


def raw(headers: Headers, body: bytes, *, first: bytes = b"POST /hook HTTP/1.1\r\n", end: bytes = b"\r\n") -> bytes:
    lines = b"".join(f"{name}: {value}".encode() + end for name, value in headers)
    return first.replace(b"\r\n", end) + lines + end + body


@pytest.mark.parametrize("first", [b"POST /hook HTTP/1.1\r\n", b""], ids=["request line", "headers only"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_raw_request_is_read(first: bytes, end: bytes) -> None:
    """As a capture has it, or as an editor saved it; what follows the body is no part of it."""
    headers = [*signed(), ("content-length", str(len(BODY)))]
    (request,) = parse_captured(raw(headers, BODY + b"\n", first=first, end=end))
    assert judge(request.headers, request.body, keys=KEYS, url=URL, now=NOW).event is not None


def test_a_line_of_listen_is_read_and_holds_no_other_header() -> None:
    """A bearer token that came with the event stays where it was."""
    for body in (BODY, b"\xff\x00"):
        member = request_member([*signed(body), ("authorization", "Bearer hush")], body)
        assert "hush" not in json.dumps(member)
        (request,) = parse_captured(json.dumps({"received_at": 5.0, "request": member}).encode())
        assert (request.body, request.received_at) == (body, 5.0)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"POST / HTTP/1.1\r\nno colon\r\n\r\n{}", b"{}", b'{"request": 7}', b"{" * 10_000, b"{\xff}"]
)
def test_what_is_no_request_is_told(content: bytes) -> None:
    """With what would be one."""
    with pytest.raises(NotCaptured):
        parse_captured(content)


@given(st.binary(max_size=200))
@settings(derandomize=True, database=None)
def test_no_bytes_break_it(content: bytes) -> None:
    """It is a request, or it is none."""
    try:
        requests = parse_captured(content)
    except NotCaptured:
        return
    for request in requests:
        assert judge(request.headers, request.body, keys=KEYS, url=URL, now=NOW).event is None


# --- the command


def verify(*arguments: str, given: bytes, **variables: str) -> Result:
    return CliRunner().invoke(make_app(), ["verify", *arguments], input=given, env={"RINGBACK_KEYS": "", **variables})


def test_the_command_says_each_check_and_ends_with_a_code(tmp_path: Path) -> None:
    """An old capture is judged as of then."""
    (tmp_path / "headers").write_bytes(b"".join(f"{name}: {value}\n".encode() for name, value in signed()))
    (tmp_path / "body").write_bytes(BODY)
    apart = ("--headers", str(tmp_path / "headers"), "--body", str(tmp_path / "body"))
    key = ("--key", str(KEY.public()))
    done = verify(*apart, *key, "--url", URL, "--now", WHEN.isoformat(), given=b"")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "verified"), done.output
    assert [line.split()[1] for line in done.stdout.splitlines()[:-1]] == ["ok"] * 7
    today = verify(*apart, *key, "--json", given=b"")
    assert today.exit_code == 1
    said = json.loads(today.stdout)
    assert (said["verified"], said["refusal"], said["event"]) == (False, "timestamp_too_old", None)


def test_the_first_moment_of_all_is_a_moment() -> None:
    """``--now 0`` is 1970, not today."""
    done = verify("--now", "0", "--key", str(KEY.public()), "--json", given=raw(signed(), BODY))
    assert json.loads(done.stdout)["refusal"] == "timestamp_too_new"


@pytest.mark.parametrize("size", [b"%x\r\n", b"%X;name=value\n"])
def test_a_body_in_chunks_is_told_as_such(size: bytes) -> None:
    """It is no body that somebody changed; where only the header says so, it is read."""
    headers = [*signed(), ("Transfer-Encoding", "gzip, Chunked")]
    assert parse_captured(raw(headers, BODY))[0].body == BODY
    done = verify("--key", str(KEY.public()), given=raw(headers, size % len(BODY) + BODY + b"\r\n0\r\n\r\n"))
    assert (done.exit_code, "chunked" in done.output) == (2, True), done.output


def test_a_fresh_capture_from_standard_input() -> None:
    """With a shared secret from the environment, where nobody sees it."""
    request = raw(signed(at=int(time.time()), key=SECRET), BODY)
    done = verify(given=request, RINGBACK_KEYS=SECRET.reveal())
    assert done.exit_code == 0, done.output
    assert SECRET.reveal() not in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a public key"),
        (("--key", "whpk_x"), "not canonical base64"),
        (("--key", SECRET.reveal()), "others see a shared secret"),
        (("--key", f"{KEY.public()} {SECRET.reveal()}"), "others see a shared secret"),
        (("--key", KEY.reveal()), "must not leave the sender"),
        (("--key-file", KEY.reveal()), "cannot be read"),
        (("--key", str(KEY.public()), "--headers", "x"), "go together"),
        (("--key", str(KEY.public()), "--now", "noon"), "neither a time"),
        (("nowhere", "--key", str(KEY.public())), "No such file"),
    ],
)
def test_a_command_line_that_cannot_be_right(arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, and no key in the message, not even one that was typed where it does not belong."""
    done = verify(*arguments, given=raw(signed(), BODY))
    assert done.exit_code == 2
    plain = " ".join(done.output.replace("│", " ").split())
    assert said in plain
    for secret in (SECRET.reveal(), KEY.reveal()):
        assert secret[10:30] not in plain


def test_hostile_content_moves_no_cursor() -> None:
    """A signed event may still hold what a terminal obeys."""
    body = event_bytes(subject="\x1b[2J\x07sales")
    done = verify("--now", str(NOW), "--key", str(KEY.public()), given=raw(signed(body), body))
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert "·[2J·sales" in done.stdout
