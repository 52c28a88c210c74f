"""``ringback listen``: what comes in is shown, what is believed is passed on, and nothing hostile is obeyed."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest
from cli_servers import Asked, Server, running, serving
from typer.testing import CliRunner

from demo.local_airflow import free_port
from ringback_cli.main import make_app
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id, sign

KEY = PrivateKey.generate()


class Listening:
    """A listener, and what it prints."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def seen(self) -> Any:
        return json.loads(self.line())


@pytest.fixture(scope="module")
def application() -> Iterator[Server]:
    """What events are passed on to: it is busy where the path says so, else has them."""

    def reply(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        if b'"sales_busy"' in asked.body:
            return 503, {"retry-after": "7", "set-cookie": "a=b"}, b"busy"
        if b'"sales_moved"' in asked.body:
            return 307, {"location": "/elsewhere"}, b""
        return 204, {}, b""

    with serving(reply) as server:
        yield server


@pytest.fixture(scope="module")
def passing_on(application: Server) -> Iterator[Listening]:
    """A listener that prints JSON and passes on."""
    yield from listening("--any-audience", "--json", "--forward-to", f"{application.url}/completions?a=1")


def listening(*options: str) -> Iterator[Listening]:
    address = f"127.0.0.1:{free_port()}"
    with running("listen", "--listen", address, "--key", str(KEY.public()), *options, until="listening on") as process:
        yield Listening(f"http://{address}/hook", process)


def ring(
    url: str,
    *,
    dag_id: str = "sales",
    audience: str | None = None,
    key: Any = KEY,
    age: int = 0,
    also: Sequence[tuple[bytes, bytes]] = (),
) -> httpx.Response:
    data = CompletionData(dag_id=dag_id, run_id="r1", state="success", reported_by="relay")
    now = time.time()
    identity = event_id(source="s", dag_id=dag_id, run_id="r1", start_date=None, state="success", callback_url=url)
    event = CompletionEvent.of(
        data,
        id=identity,
        source="s",
        audience=audience or url,
        correlationid=None,
        time=datetime.fromtimestamp(now, timezone.utc),
    )
    body = encode_event(event)
    headers = sign(identity, body, keys=[key], timestamp=int(now) - age)
    return post(url, body, {**headers, "authorization": "Bearer hush"}, also)


def post(url: str, body: bytes, headers: dict[str, str], also: Sequence[tuple[bytes, bytes]] = ()) -> httpx.Response:
    given = {"content-type": "application/json", **headers}
    raw = [*((name.encode(), value.encode()) for name, value in given.items()), *also]
    return httpx.post(url, content=body, headers=raw, trust_env=False, timeout=30)


def test_an_event_is_passed_on_byte_for_byte(passing_on: Listening, application: Server) -> None:
    """With its headers, so that the application can verify it; what it answers is the answer."""
    application.asked.clear()
    assert ring(passing_on.url).status_code == 204
    (asked,) = application.asked
    assert asked.path == "/completions?a=1"
    headers = {name.lower(): value for name, value in asked.headers}
    assert headers["authorization"] == "Bearer hush"
    assert headers["host"] == application.url.removeprefix("http://")
    seen = passing_on.seen()
    assert dict(seen["request"]["headers"]) == {name: headers[name] for name in headers if name.startswith("webhook-")}
    assert (seen["request"]["body"].encode(), seen["forwarded"]["status"]) == (asked.body, 204)
    assert (seen["dag_id"], seen["state"], seen["reported_by"], seen["verdict"]) == (
        "sales",
        "success",
        "relay",
        "verified",
    )


def test_what_the_application_answers_goes_back(passing_on: Listening) -> None:
    """With ``Retry-After``, and without what is between the application and nobody else."""
    answer = ring(passing_on.url, dag_id="sales_busy")
    assert (answer.status_code, answer.headers["retry-after"], answer.text) == (503, "7", "busy")
    assert "set-cookie" not in answer.headers
    assert passing_on.seen()["forwarded"]["status"] == 503


def test_headers_that_are_no_ascii_or_for_one_hop_break_nothing(passing_on: Listening, application: Server) -> None:
    """A proxy may write names in UTF-8, and say which headers end with it; a cookie of one answer stays there."""
    ring(passing_on.url, dag_id="sales_busy")
    passing_on.seen()
    application.asked.clear()
    also = [(b"x-client", "Zoë".encode()), (b"connection", b"keep-alive, X-Hop"), (b"x-hop", b"1")]
    assert ring(passing_on.url, also=also).status_code == 204
    assert passing_on.seen()["forwarded"]["status"] == 204
    (asked,) = application.asked
    headers = {name.lower(): value for name, value in asked.headers}
    assert headers["x-client"].encode("latin-1") == "Zoë".encode()
    assert {"x-hop", "cookie"}.isdisjoint(headers)


def test_a_redirect_leads_nowhere(passing_on: Listening, application: Server) -> None:
    """An event goes where the command line says, and the sender hears what was answered."""
    application.asked.clear()
    assert ring(passing_on.url, dag_id="sales_moved").status_code == 307
    assert [asked.path for asked in application.asked] == ["/completions?a=1"]
    assert passing_on.seen()["status"] == 307


def test_what_is_not_believed_is_passed_on_to_nobody(passing_on: Listening, application: Server) -> None:
    """It is refused as a receiver refuses it, and the line says why."""
    application.asked.clear()
    assert ring(passing_on.url, key=PrivateKey.generate()).status_code == 401
    assert ring(passing_on.url, age=400).json() == {"error": "timestamp_too_old"}
    assert post(passing_on.url, b"{}", {}).status_code == 400
    assert post(passing_on.url, b"x" * 20_001, {}).status_code == 413
    assert post(passing_on.url, b"{}", {"content-type": "text/plain"}).status_code == 415
    assert httpx.get(passing_on.url, trust_env=False).status_code == 405
    verdicts = [passing_on.seen()["verdict"] for _ in range(6)]
    assert verdicts == [
        "bad_signature",
        "timestamp_too_old",
        "missing_header",
        "too_large",
        "unsupported_media_type",
        "method_not_allowed",
    ]
    assert application.asked == []


def test_lines_are_for_people_and_move_no_cursor() -> None:
    """One for each event, and for what is wrong the reason; the audience is looked at if a URL was given."""
    url = "https://portal.example/hook"
    for listener in listening("--url", url):
        ring(listener.url, audience=url, dag_id="sa\x1b[2Jles\n12:00 forged")
        line = listener.line()
        assert "airflow.dag_run.succeeded  sa·[2Jles·12:00 forged  r1  success  by relay  verified" in line
        assert ring(listener.url).status_code == 403
        assert "403  refused: wrong_audience: it is addressed to another URL" in listener.line()
        httpx.put(f"{listener.url}/%1b[2J", trust_env=False)
        assert "\x1b" not in listener.line()
        listener.process.send_signal(signal.SIGINT)
        assert listener.process.wait(30) == 0


def test_a_reader_that_leaves_ends_it_and_loses_no_answer() -> None:
    """As ``| head -1`` does: what was taken is answered so, and the sender does not come again."""
    for listener in listening("--any-audience"):
        assert listener.process.stdout is not None
        listener.process.stdout.close()
        assert ring(listener.url).status_code == 204
        assert listener.process.wait(30) == 0
        assert listener.process.stderr is not None
        assert listener.process.stderr.read() == ""


def test_an_application_that_is_away_is_told() -> None:
    """The sender is answered 502, and comes again."""
    for listener in listening("--any-audience", "--forward-to", f"http://127.0.0.1:{free_port()}/"):
        answer = ring(listener.url)
        assert (answer.status_code, answer.json()) == (502, {"error": "not_forwarded"})
        assert "502  airflow.dag_run.succeeded  sales  r1  success  by relay  verified  forwarded: " in listener.line()
        listener.process.terminate()
        assert listener.process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--any-audience",), 2, "give a public key with --key"),
        (("--key", str(KEY.public())), 2, "--any-audience not to look at that"),
        (("--key", str(KEY.public()), "--url", "https://p.example/", "--any-audience"), 2, "say which URL"),
        (("--key", str(KEY.public()), "--any-audience", "--listen", "8787"), 2, "write host:port"),
        (("--key", str(KEY.public()), "--any-audience", "--forward-to", "ftp://x/"), 2, "must start with https://"),
        (("--discover", "http://airflow.example", "--any-audience"), 1, "anybody on the way"),
        (("--key", str(KEY.public()), "--any-audience", "--listen", "{taken}"), 1, "Address already in use"),
    ],
)
def test_what_cannot_be_is_told_in_words(arguments: tuple[str, ...], code: int, said: str) -> None:
    """With the option's name."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        typed = ["listen", *(each.format(taken=place) for each in arguments)]
        done = CliRunner().invoke(make_app(), typed, env={"COLUMNS": "250", "RINGBACK_KEYS": ""})
    plain = " ".join(done.output.replace("│", " ").split())
    assert (done.exit_code, said in plain) == (code, True), done.output
