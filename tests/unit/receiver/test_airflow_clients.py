"""The Airflow clients: the same behaviour through httpx, synchronous and asynchronous."""

from __future__ import annotations

import datetime as dt
import inspect
import ipaddress
import json
import logging
import pickle
import socket
import ssl
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringback_receiver import _airflow_errors as errors
from ringback_receiver._airflow_async_client import AsyncAirflowClient
from ringback_receiver._airflow_client import AirflowClient
from ringback_receiver._airflow_http import LARGEST_ANSWER
from ringback_receiver._dag_run import DagRun

pytestmark = pytest.mark.anyio

URL = "https://airflow.example/prefix"
PASSWORD = "pa55-hush"
TOKEN = "tok-hush"
Client = AirflowClient | AsyncAirflowClient


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeAirflow:
    """Just enough of Airflow to keep runs and check tokens."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.logins = 0
        self.valid = ""
        self.runs: dict[str, dict[str, Any]] = {}
        self.lose_answers = 0
        self.slow_login = 0.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path == "/prefix/auth/token":
            return self.log_in(request)
        if request.headers.get("authorization") != f"Bearer {self.valid}":
            return httpx.Response(401, json={"detail": "Token Expired"})
        if request.method == "POST":
            body = json.loads(request.content)
            if body["dag_run_id"] in self.runs:
                return httpx.Response(409, json={"detail": {"reason": "Unique constraint violation"}})
            self.runs[body["dag_run_id"]] = body | {"dag_id": "sales", "state": "queued"}
            if self.lose_answers:
                self.lose_answers -= 1
                raise httpx.ReadError("reset")
            return httpx.Response(200, json=self.runs[body["dag_run_id"]])
        run_id = request.url.path.rpartition("/")[2]
        return httpx.Response(200, json=self.runs[run_id])

    def log_in(self, request: httpx.Request) -> httpx.Response:
        time.sleep(self.slow_login)
        if json.loads(request.content) != {"username": "portal", "password": PASSWORD}:
            return httpx.Response(401, json={"detail": "Invalid credentials"})
        self.logins += 1
        self.valid = f"{TOKEN}-{self.logins}"
        return httpx.Response(201, json={"access_token": self.valid}, headers={"set-cookie": "_token=x; Path=/"})


class Caller:
    """Call either client in the same way."""

    def __init__(self, kind: type[Client]) -> None:
        self.kind = kind
        self.client: Client | None = None

    def __call__(self, handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
        return self.make(URL, transport=httpx.MockTransport(handler), **options)

    def make(self, url: str, **options: Any) -> Client:
        if "token" not in options:
            options = {"username": "portal", "password": PASSWORD} | options
        self.client = self.kind(url, **options)
        return self.client

    async def do(self, method: str, *args: Any, **options: Any) -> Any:
        result = getattr(self.client, method)(*args, **options)
        return await result if inspect.isawaitable(result) else result


@pytest.fixture(params=[AirflowClient, AsyncAirflowClient], ids=["sync", "async"])
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    caller = Caller(request.param)
    yield caller
    if caller.client is not None:
        await caller.do("close" if request.param is AirflowClient else "aclose")


@pytest.fixture
def airflow() -> FakeAirflow:
    return FakeAirflow()


def everything_about(error: BaseException | None) -> Iterator[str]:
    """All that a report of an error may show: its text, its arguments, its causes, the traceback."""
    if error is not None:
        yield from traceback.format_exception(error)
    while error is not None:
        yield repr(error.args)
        yield repr(vars(error))
        error = error.__cause__ or error.__context__


# --- behaviour through either client


async def test_a_run_is_triggered_and_read(caller: Caller, airflow: FakeAirflow) -> None:
    """Login, trigger and question go to the base URL's prefix, with the token and without cookies."""
    caller(airflow)
    run = await caller.do("trigger", "sales", conf={"a": 1}, run_id="a+b:c")
    again = await caller.do("get_run", "sales", "a+b:c")
    assert run == again
    assert run.run_url == "https://airflow.example/prefix/dags/sales/runs/a%2Bb%3Ac"
    assert [(r.method, r.url.raw_path.decode()) for r in airflow.requests] == [
        ("POST", "/prefix/auth/token"),
        ("POST", "/prefix/api/v2/dags/sales/dagRuns"),
        ("GET", "/prefix/api/v2/dags/sales/dagRuns/a%2Bb%3Ac"),
    ]
    assert all("cookie" not in request.headers for request in airflow.requests)
    assert airflow.requests[1].headers["content-type"] == "application/json"
    assert "authorization" not in airflow.requests[0].headers


async def test_an_expired_token_is_replaced(caller: Caller, airflow: FakeAirflow) -> None:
    """A token that Airflow no longer takes costs one login and no error."""
    caller(airflow)
    await caller.do("trigger", "sales", run_id="r1")
    airflow.valid = "another"
    assert (await caller.do("get_run", "sales", "r1")).state == "queued"
    assert airflow.logins == 2


async def test_a_lost_answer_does_not_start_a_second_run(caller: Caller, airflow: FakeAirflow) -> None:
    """After a reset connection the trigger is sent again, and finds its own run."""
    caller(airflow)
    airflow.lose_answers = 1
    run = await caller.do("trigger", "sales", conf={"a": 1})
    assert list(airflow.runs) == [run.run_id]
    assert run.run_id.startswith("ringback__")


async def test_waiting_ends_with_the_run(caller: Caller, airflow: FakeAirflow) -> None:
    """Triggering and waiting returns the run that succeeded."""
    asked = 0

    def ending(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        answer = airflow(request)
        asked += request.method == "GET"
        if asked == 2:
            airflow.runs["r1"]["state"] = "success"
        return answer

    caller(ending)
    run = await caller.do("trigger_and_wait", "sales", run_id="r1", timeout=10, poll_interval=0.01)
    assert run.succeeded
    assert await caller.do("wait_for_run", "sales", "r1", timeout=10) == run


async def test_waiting_ends_with_the_time(caller: Caller, airflow: FakeAirflow) -> None:
    """A run that stays queued is a WaitTimeout that holds it."""
    caller(airflow)
    with pytest.raises(errors.WaitTimeout) as caught:
        await caller.do("trigger_and_wait", "sales", timeout=0.05, poll_interval=0.02)
    assert caught.value.run is not None
    assert caught.value.run.state == "queued"


async def test_dags_and_variables(caller: Caller) -> None:
    """Pausing, unpausing, reading and setting reach their endpoints."""
    seen: list[tuple[str, str, Any]] = []

    def record(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, str(request.url), json.loads(request.content or b"null")))
        return httpx.Response(200, json={"value": "1"})

    caller(record, token=TOKEN)
    await caller.do("pause", "sales")
    await caller.do("unpause", "sales")
    await caller.do("set_variable", "a/b", "1", description="why")
    assert await caller.do("get_variable", "a/b") == "1"
    assert seen == [
        ("PATCH", f"{URL}/api/v2/dags/sales?update_mask=is_paused", {"is_paused": True}),
        ("PATCH", f"{URL}/api/v2/dags/sales?update_mask=is_paused", {"is_paused": False}),
        ("PATCH", f"{URL}/api/v2/variables/a%2Fb", {"key": "a/b", "value": "1", "description": "why"}),
        ("GET", f"{URL}/api/v2/variables/a%2Fb", None),
    ]


async def test_the_errors_of_httpx_are_translated(caller: Caller) -> None:
    """Callers catch one family of errors; the cause is kept."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    caller(broken, token=TOKEN)
    with pytest.raises(errors.AirflowUnreachable, match="Connection refused") as caught:
        await caller.do("get_run", "sales", "r1")
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert caught.value.reason == "connection_failed"


async def test_a_timeout_is_a_reason(caller: Caller) -> None:
    """A timeout is told from a refused connection."""

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("")

    caller(slow, token=TOKEN)
    with pytest.raises(errors.AirflowUnreachable) as caught:
        await caller.do("get_run", "sales", "r1")
    assert caught.value.reason == "timed_out"


async def test_a_redirect_is_not_followed(caller: Caller) -> None:
    """The token never goes where a redirect points."""
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"location": "https://evil.example/"})

    caller(elsewhere, token=TOKEN)
    with pytest.raises(errors.AirflowProtocolError, match="redirects are not followed"):
        await caller.do("get_run", "sales", "r1")
    assert asked == ["airflow.example"]


async def test_an_endless_answer_is_cut_off(caller: Caller) -> None:
    """No more than the largest sensible answer is read."""
    caller(lambda request: httpx.Response(200, content=b"x" * (LARGEST_ANSWER + 1)), token=TOKEN)
    with pytest.raises(errors.AirflowProtocolError) as caught:
        await caller.do("get_run", "sales", "r1")
    assert caught.value.reason == "too_large"


async def test_an_answer_that_cannot_be_unpacked_is_an_error(caller: Caller) -> None:
    """A broken content encoding is no answer of Airflow's."""

    def garbled(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    caller(garbled, token=TOKEN)
    with pytest.raises(errors.AirflowProtocolError):
        await caller.do("get_run", "sales", "r1")


async def test_a_password_may_be_fetched(caller: Caller, airflow: FakeAirflow) -> None:
    """A callable gives the password at login, so that it need not live in the program."""
    caller(airflow, password=lambda: PASSWORD)
    assert (await caller.do("trigger", "sales")).state == "queued"


async def test_the_error_of_a_provider_reaches_the_caller(caller: Caller, airflow: FakeAirflow) -> None:
    """What the caller's own function raises is the caller's to handle."""

    def provider() -> str:
        raise LookupError("vault is sealed")

    caller(airflow, password=provider)
    with pytest.raises(LookupError, match="vault is sealed"):
        await caller.do("get_run", "sales", "r1")


@pytest.mark.parametrize(
    "url",
    [
        "airflow.example",
        "ftp://airflow.example",
        "https://",
        "https://user:pa55-hush@airflow.example",
        "https://@airflow.example",
        "https://airflow.example?x=1",
        "https://airflow.example#x",
        "https://airflow.example:pa55-hush",
        "https://[pa55-hush",
        "https://airflow.example/a b",
        "",
    ],
)
def test_a_base_url_that_cannot_be_right_is_refused(url: str) -> None:
    """A URL with credentials, or none at all, is refused without being repeated."""
    for kind in (AirflowClient, AsyncAirflowClient):
        with pytest.raises(errors.AirflowUsageError) as caught:
            kind(url, token=TOKEN)
        assert caught.value.reason == "bad_url"
        assert not any(PASSWORD in text for text in (str(caught.value), repr(caught.value.args)))


# --- sharing a token


def test_threads_share_one_login(airflow: FakeAirflow) -> None:
    """Many threads that need a token at once cause one login."""
    airflow.slow_login = 0.05
    with (
        AirflowClient(URL, username="portal", password=PASSWORD, transport=httpx.MockTransport(airflow)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        runs = list(pool.map(client.trigger, ["sales"] * 8))
    assert len({run.run_id for run in runs}) == 8
    assert airflow.logins == 1


async def test_tasks_share_one_login(airflow: FakeAirflow) -> None:
    """Many tasks that need a token at once cause one login."""
    asked = 0

    async def password() -> str:
        nonlocal asked
        asked += 1
        await anyio.sleep(0.01)
        return PASSWORD

    async with (
        AsyncAirflowClient(URL, username="portal", password=password, transport=httpx.MockTransport(airflow)) as client,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(8):
            tasks.start_soon(client.trigger, "sales")
    assert (airflow.logins, asked, len(airflow.runs)) == (1, 1, 8)


async def test_a_cancelled_login_leaves_the_next_caller_free(airflow: FakeAirflow) -> None:
    """A task that is cancelled while it fetches the token does not keep the lock."""
    hold = True

    async def password() -> str:
        if hold:
            await anyio.sleep_forever()
        return PASSWORD

    async with AsyncAirflowClient(
        URL, username="portal", password=password, transport=httpx.MockTransport(airflow)
    ) as client:
        with anyio.move_on_after(0.02):
            await client.trigger("sales")
        hold = False
        assert (await client.trigger("sales")).state == "queued"


def test_an_asynchronous_provider_needs_the_asynchronous_client(airflow: FakeAirflow) -> None:
    """The synchronous client says so instead of sending a coroutine."""

    async def provider() -> str:
        return TOKEN

    with (
        AirflowClient(URL, token=provider, transport=httpx.MockTransport(airflow)) as client,  # type: ignore[arg-type]
        pytest.raises(errors.AirflowUsageError, match="AsyncAirflowClient"),
    ):
        client.get_run("sales", "r1")


# --- settings


@pytest.mark.parametrize("kind", [AirflowClient, AsyncAirflowClient])
@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({}, "AIRFLOW_URL is not set"),
        ({"URL": ""}, "AIRFLOW_URL is not set"),
        ({"URL": URL}, "AIRFLOW_USERNAME and AIRFLOW_PASSWORD not set, nor is AIRFLOW_TOKEN"),
        ({"URL": URL, "USERNAME": "u"}, "AIRFLOW_PASSWORD not set"),
        ({"URL": URL, "PASSWORD": PASSWORD}, "AIRFLOW_USERNAME not set"),
        ({"URL": URL, "TOKEN": TOKEN, "PASSWORD": PASSWORD}, "AIRFLOW_TOKEN and AIRFLOW_PASSWORD are set: keep one"),
    ],
)
def test_a_missing_environment_variable_is_named(
    kind: type[Client], variables: dict[str, str], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing in the environment is said by name, and no value is repeated."""
    for name in ("URL", "USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"AIRFLOW_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"AIRFLOW_{name}", value)
    with pytest.raises(errors.AirflowUsageError) as caught:
        kind.from_environment()
    assert str(caught.value) == complaint


@pytest.mark.parametrize("credentials", [{"USERNAME": "portal", "PASSWORD": PASSWORD}, {"TOKEN": f"{TOKEN}-1"}])
def test_a_client_comes_from_the_environment(
    credentials: dict[str, str], airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another prefix names another Airflow."""
    airflow.valid = f"{TOKEN}-1"
    for name, value in {"URL": f"{URL}/", **credentials}.items():
        monkeypatch.setenv(f"STAGING_{name}", value)
    with AirflowClient.from_environment("STAGING_", transport=httpx.MockTransport(airflow)) as client:
        assert client.trigger("sales").state == "queued"
        assert repr(client) == f"AirflowClient('{URL}')"


def test_verification_cannot_be_switched_off() -> None:
    """A certificate that is not checked protects no password."""
    with pytest.raises(errors.AirflowUsageError, match="verify"):
        AirflowClient(URL, token=TOKEN, verify=False)


def test_a_ca_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong CA path is an error at construction."""
    with pytest.raises(errors.AirflowUsageError, match=r"nowhere\.pem"):
        AirflowClient(URL, token=TOKEN, verify=tmp_path / "nowhere.pem")


def test_a_directory_of_cas_is_accepted(tmp_path: Path) -> None:
    """A directory of hashed CA certificates is as good as a file."""
    AirflowClient(URL, token=TOKEN, verify=str(tmp_path)).close()


def test_run_errors_travel_between_processes() -> None:
    """Errors that hold a run can be pickled, as process pools and task queues do."""
    run = DagRun(dag_id="sales", run_id="r1", state="failed")
    assert pickle.loads(pickle.dumps(errors.RunFailed(run))).run == run
    assert pickle.loads(pickle.dumps(errors.WaitTimeout("late", run=run))).run == run
    assert pickle.loads(pickle.dumps(errors.AirflowUnreachable("x", reason="timed_out"))).reason == "timed_out"


# --- secrets


async def test_no_error_shows_a_secret(caller: Caller) -> None:
    """Neither text nor arguments nor causes of an error hold password or token."""
    airflow = FakeAirflow()

    def failing(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/token"):
            return airflow(request)
        raise httpx.ReadError("reset")

    client = caller(failing)
    with pytest.raises(errors.AirflowUnreachable) as caught:
        await caller.do("get_run", "sales", "r1")
    shown = [*everything_about(caught.value), repr(client), str(client), repr(vars(client))]
    assert not [text for text in shown if "hush" in text]


@pytest.mark.parametrize("body", [b'{"access_token": "tok-hush\xff"}', b'{"access_token": ["tok-hush"]}'])
async def test_a_broken_login_answer_is_not_shown(caller: Caller, body: bytes) -> None:
    """A token in an answer that cannot be read stays out of the error's causes too."""
    caller(lambda request: httpx.Response(201, content=body))
    with pytest.raises(errors.AirflowProtocolError) as caught:
        await caller.do("get_run", "sales", "r1")
    assert not [text for text in everything_about(caught.value) if "hush" in text]


@pytest.mark.parametrize("token", ["tok-hush\r\nx: y", "tok-hüsh-hush", "tok hush"])
async def test_a_token_that_no_header_can_carry_is_not_shown(caller: Caller, airflow: FakeAirflow, token: str) -> None:
    """Such a token is refused by us: the HTTP library's error would quote it."""
    caller(airflow, token=token)
    with pytest.raises((errors.AirflowAuthError, errors.AirflowUsageError)) as caught:
        await caller.do("get_run", "sales", "r1")
    assert not [text for text in everything_about(caught.value) if "hush" in text]
    assert airflow.requests == []


# --- real sockets


class Quiet(BaseHTTPRequestHandler):
    """A little Airflow on a socket: it logs in, drips one run, and knows no other."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(201, {"access_token": TOKEN})

    def do_GET(self) -> None:
        if self.path.endswith("/drip"):
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            try:
                for _ in range(1000):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.05)
            except OSError:
                self.close_connection = True
            return
        self.answer(200, {"dag_run_id": "r1", "dag_id": "sales", "state": "queued"})

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses our certificate is what some tests want."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    with Server(("127.0.0.1", 0), Quiet) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


async def test_no_log_shows_a_secret(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, httpx and httpcore show URLs but no password and no token."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")  # which Airflow, where it is imported, makes quieter
    with serving() as port:
        caller.make(f"http://127.0.0.1:{port}", trust_env=False)
        await caller.do("get_run", "sales", "r1")
        await caller.do("close" if caller.kind is AirflowClient else "aclose")
    assert "/auth/token" in caplog.text
    assert "hush" not in caplog.text


async def test_a_trickling_answer_is_not_awaited(caller: Caller) -> None:
    """The timeout holds for the whole answer, not for each byte of it."""
    with serving() as port:
        caller.make(f"http://127.0.0.1:{port}", token=TOKEN, timeout=0.3, trust_env=False)
        begun = time.monotonic()
        with pytest.raises(errors.AirflowUnreachable) as caught:
            await caller.do("get_run", "sales", "drip")
        assert time.monotonic() - begun < 2
        await caller.do("close" if caller.kind is AirflowClient else "aclose")
    assert caught.value.reason == "timed_out"


async def test_a_silent_server_is_not_awaited(caller: Caller) -> None:
    """A server that accepts and says nothing costs the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        caller.make(f"http://127.0.0.1:{port}", token=TOKEN, timeout=0.1, trust_env=False)
        with pytest.raises(errors.AirflowUnreachable) as caught:
            await caller.do("get_run", "sales", "r1")
    assert caught.value.reason == "timed_out"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that nobody but itself has signed, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow")])
    now = dt.datetime.now(dt.timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "airflow.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_certificates_are_verified(caller: Caller, certificate: Path) -> None:
    """A certificate of an unknown CA ends the connection before any credential is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as port:
        caller.make(f"https://127.0.0.1:{port}", trust_env=False)
        with pytest.raises(errors.AirflowUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
            await caller.do("get_run", "sales", "r1")
        await caller.do("close" if caller.kind is AirflowClient else "aclose")


@pytest.mark.parametrize("form", [Path, str, lambda file: ssl.create_default_context(cafile=file)])
async def test_an_own_ca_can_be_given(caller: Caller, certificate: Path, form: Callable[[Path], Any]) -> None:
    """A CA file or an SSL context makes an in-house certificate good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as port:
        caller.make(f"https://127.0.0.1:{port}", trust_env=False, verify=form(certificate))
        assert (await caller.do("get_run", "sales", "r1")).state == "queued"
        await caller.do("close" if caller.kind is AirflowClient else "aclose")
