"""Servers, certificates and deliveries for tests that really send."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringback_notifier import _delivery
from ringback_notifier._addresses import AddressRules
from ringback_notifier._delivery import Delivery
from ringback_notifier._destination import Destination
from ringback_notifier._policy import Outcome
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, Secret, encode_event

PRIVATE = PrivateKey.generate()
SECRET = Secret.generate()
EVENT_ID = "msg_" + "a2" * 16
MOMENT = dt.datetime(2026, 7, 2, 0, 3, 11, tzinfo=dt.timezone.utc)


@dataclass
class Request:
    """What a server received, to the byte."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, server: Server) -> None:
        self.socket = connection
        self.server = server
        self.sent = 0

    @property
    def stopping(self) -> threading.Event:
        return self.server.stopping

    def read_request(self) -> Request:
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += self._some()
        head, _, body = raw.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (text.partition(":") for text in lines)]
        length = int(next(value for name, value in headers if name.lower() == "content-length"))
        while len(body) < length:
            body += self._some()
        request = Request(line=line, headers=headers, body=body)
        self.server.requests.append(request)
        return request

    def answer(self, status: str = "204 No Content", *headers: str) -> None:
        self.read_request()
        self.send("\r\n".join([f"HTTP/1.1 {status}", "content-length: 0", *headers, "", ""]).encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.sent += len(data)

    def dribble(self, data: bytes = b"x") -> None:
        """Send a piece now and then, for as long as the client bears it."""
        while not self.stopping.wait(0.04):
            self.send(data)

    def hold(self) -> None:
        """Do nothing until the test is over."""
        self.stopping.wait(30)

    def _some(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the client has gone")
        return data


Script = Callable[[Peer], None]


@dataclass
class Server:
    """A socket on the loopback that treats every connection by a script."""

    script: Script
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    certificates: list[dict[str, Any] | None] = field(default_factory=list)
    hits: int = 0
    sent: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Server:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="test-server")]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def url(self, host: str = "127.0.0.1", path: str = "/airflow/completions") -> str:
        return f"{'https' if self.context else 'http'}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.hits += 1
            thread = threading.Thread(target=self._serve, args=(connection,), name="test-server")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with ExitStack() as stack:
            stack.callback(connection.close)
            peer = Peer(connection, self)
            try:
                if self.context is not None:
                    peer.socket = stack.enter_context(self.context.wrap_socket(connection, server_side=True))
                    self.certificates.append(peer.socket.getpeercert())
                self.script(peer)
            except (OSError, StopIteration):
                pass
            finally:
                self.sent += peer.sent


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers; they stop when the test is over."""
    with ExitStack() as stack:
        yield lambda script, context=None: stack.enter_context(Server(script, context))


@dataclass(frozen=True)
class Sender:
    """One of the two ways to send, and how long it took."""

    name: str

    def __call__(self, delivery: Delivery, timeout: float = 5.0) -> tuple[Outcome, float]:
        if self.name == "asend":
            return asyncio.run(self._timed(delivery, timeout))
        started = time.monotonic()
        outcome = _delivery.send(delivery, timeout=timeout)
        return outcome, time.monotonic() - started

    async def _timed(self, delivery: Delivery, timeout: float) -> tuple[Outcome, float]:
        started = time.monotonic()
        outcome = await _delivery.asend(delivery, timeout=timeout)
        return outcome, time.monotonic() - started


@pytest.fixture(params=["send", "asend"])
def sender(request: pytest.FixtureRequest) -> Sender:
    return Sender(request.param)


@pytest.fixture
def delivery() -> Callable[..., Delivery]:
    """Build a delivery of a real event to a URL."""

    def build(url: str, *, body: bytes | None = None, **settings: Any) -> Delivery:
        data = CompletionData(dag_id="sales_report", run_id="ext__1", state="success", reported_by="task")
        event = CompletionEvent.of(
            data, id=EVENT_ID, source="https://airflow.example", audience=url, correlationid="req_1", time=MOMENT
        )
        members = {"name": "default", "keys": (PRIVATE, SECRET), "allow": (), "addresses": LOOPBACK_ALLOWED}
        destination = Destination(**{**members, **settings})
        return Delivery(event_id=EVENT_ID, url=url, body=body or encode_event(event), destination=destination)

    return build


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test session."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def bundle(self) -> str:
        return str(self.folder / "ca.pem")

    def issue(
        self, name: str, *, alternative: list[x509.GeneralName], password: bytes | None = None
    ) -> tuple[str, str]:
        """Return the paths of a certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(name, self.certificate.subject, key)
            .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        cert_path, key_path = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
            )
        )
        return str(cert_path), str(key_path)

    def server_context(self, *, clients_must_show_a_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server", alternative=[x509.DNSName("localhost")]))
        if clients_must_show_a_certificate:
            context.load_verify_locations(self.bundle)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return _authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def strange_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One of the same name whom nobody trusts."""
    return _authority(tmp_path_factory.mktemp("strange"))


def _authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    certificate = (
        _certificate("test authority", name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, certificate)


def _certificate(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


LOOPBACK_ALLOWED = AddressRules(networks=(ipaddress.ip_network("127.0.0.0/8"),))
LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
