"""One delivery attempt against real servers: kind, slow, broken and hostile ones."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from ringback_notifier import _delivery, _exchange
from ringback_notifier._attempts import Tried
from ringback_notifier._policy import Answer, Delivered, GiveUp, NoAnswer, Retry
from ringback_notifier._version import VERSION
from ringback_notifier.errors import DestinationError
from ringback_protocol import parse_verification_keys, verify_event

DEADLINE = 0.4
GRACE = 1.0


# --- what is sent ---------------------------------------------------------------------------------


def test_the_receiver_gets_the_signed_bytes(serve: Any, sender: Any, delivery: Any) -> None:
    """The request carries the event's exact bytes, and a signature by every key that holds over them."""
    server = serve(lambda peer: peer.answer())
    sent = delivery(server.url())
    outcome, _ = sender(sent)
    (request,) = server.requests
    assert outcome == Answer(status=204)
    assert request.line == "POST /airflow/completions HTTP/1.1"
    assert request.body == sent.body
    for key in (sent.destination.keys[0].public(), sent.destination.keys[1]):
        keys = parse_verification_keys([key])
        event = verify_event(request.headers, request.body, keys=keys, audiences=[sent.url], now=time.time())
        assert event.id == sent.event_id
    assert [scheme.split(",")[0] for scheme in request.all("webhook-signature")[0].split(" ")] == ["v1a", "v1"]


def test_the_request_looks_as_the_design_says(serve: Any, sender: Any, delivery: Any) -> None:
    """Host, content type, user agent and length are each there once, and nothing is chunked."""
    server = serve(lambda peer: peer.answer())
    sent = delivery(server.url(path="/airflow/completions?tenant=7&q=a%20b"))
    sender(sent)
    (request,) = server.requests
    assert request.line == "POST /airflow/completions?tenant=7&q=a%20b HTTP/1.1"
    assert request.all("host") == [f"127.0.0.1:{server.port}"]
    assert request.all("content-type") == ["application/json"]
    assert request.all("user-agent") == [f"ringback/{VERSION}"]
    assert request.all("content-length") == [str(len(sent.body))]
    assert request.all("transfer-encoding") == []
    assert request.all("cookie") == []


def test_the_destination_adds_its_headers(serve: Any, sender: Any, delivery: Any) -> None:
    """A destination's own headers and its content type are sent."""
    server = serve(lambda peer: peer.answer())
    headers = {"authorization": "Bearer hush", "x-tenant": "7"}
    sender(delivery(server.url(), headers=headers, content_type="application/cloudevents+json"))
    (request,) = server.requests
    assert request.all("authorization") == ["Bearer hush"]
    assert request.all("x-tenant") == ["7"]
    assert request.all("content-type") == ["application/cloudevents+json"]


def test_the_host_header_is_the_callback_urls(serve: Any, sender: Any, delivery: Any) -> None:
    """The name in the URL is what the receiver sees, though an address was dialled."""
    server = serve(lambda peer: peer.answer())
    outcome, _ = sender(delivery(server.url("localhost")))
    assert outcome == Answer(status=204)
    assert server.requests[0].all("host") == [f"localhost:{server.port}"]


@pytest.mark.parametrize("path", ["", "?a=1", "/a%2Fb/%7Euser;v=1?x=y&x=z", "//double//slash/"])
def test_the_path_is_sent_as_it_was_written(serve: Any, sender: Any, delivery: Any, path: str) -> None:
    """No client normalises the path that the allow-list looked at."""
    server = serve(lambda peer: peer.answer())
    sender(delivery(server.url(path=path)))
    expected = path if path.startswith("/") else "/" + path
    assert server.requests[0].line == f"POST {expected} HTTP/1.1"


# --- what is answered -----------------------------------------------------------------------------


def test_an_answer_is_read_with_its_retry_after_and_the_start_of_its_body(
    serve: Any, sender: Any, delivery: Any
) -> None:
    """A refusal tells its status, when to come back, and what the receiver said, made printable."""

    def refuse(peer: Any) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 5\r\n\r\nla\x1bte")

    outcome, _ = sender(delivery(serve(refuse).url()))
    assert outcome == Answer(status=503, retry_after=7.0, excerpt="la·te")


def test_the_excerpt_is_short(serve: Any, sender: Any, delivery: Any) -> None:
    """However much the receiver says, five hundred bytes of it are kept."""

    def talk(peer: Any) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 400 No\r\nconnection: close\r\n\r\n" + b"no " * 5_000)

    outcome, _ = sender(delivery(serve(talk).url()))
    assert outcome == Answer(status=400, excerpt=("no " * 200)[:500])


@pytest.mark.parametrize("status", [200, 202, 410])
def test_a_status_that_settles_it_needs_no_body(serve: Any, sender: Any, delivery: Any, status: int) -> None:
    """A receiver that took the event and then stalls has taken it."""

    def stall(peer: Any) -> None:
        peer.read_request()
        peer.send(f"HTTP/1.1 {status} So\r\ncontent-length: 100\r\n\r\nhalf".encode())
        peer.hold()

    outcome, _ = sender(delivery(serve(stall).url()), DEADLINE)
    assert outcome == Answer(status=status)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(serve: Any, sender: Any, delivery: Any, status: int) -> None:
    """The other server, which nobody allowed, is not even dialled."""
    elsewhere = serve(lambda peer: peer.answer())
    server = serve(lambda peer: peer.answer(f"{status} Moved", f"location: {elsewhere.url()}"))
    outcome, _ = sender(delivery(server.url()))
    assert outcome == Answer(status=status)
    assert server.hits == 1
    assert elsewhere.hits == 0


# --- slow and hostile servers ---------------------------------------------------------------------


def _accept_and_say_nothing(peer: Any) -> None:
    peer.read_request()
    peer.hold()


def _dribble_header(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    peer.dribble()


def _dribble_headers(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    peer.dribble(b"x-slow: 1\r\n")


def _dribble_status(peer: Any) -> None:
    peer.read_request()
    for byte in b"HTTP/1.1 200 OK":
        peer.send(bytes([byte]))
        if peer.stopping.wait(0.04):
            return


def _dribble_body(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 500 Oops\r\ncontent-length: 1000000\r\n\r\n")
    peer.dribble()


def _dribble_chunks(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
    peer.dribble(b"1\r\nx\r\n")


def _dribble_interim_answers(peer: Any) -> None:
    peer.read_request()
    peer.dribble(b"HTTP/1.1 102 Processing\r\n\r\n")


def _flood_interim_answers(peer: Any) -> None:
    peer.read_request()
    while not peer.stopping.is_set():
        peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1_000)


def _never_read(peer: Any) -> None:
    peer.hold()


@pytest.mark.parametrize(
    "script",
    [
        _accept_and_say_nothing,
        _dribble_header,
        _dribble_headers,
        _dribble_status,
        _dribble_body,
        _dribble_chunks,
        _dribble_interim_answers,
        _flood_interim_answers,
        _never_read,
    ],
)
def test_the_deadline_covers_the_whole_attempt(serve: Any, sender: Any, delivery: Any, script: Any) -> None:
    """A server that keeps the client busy gets no more than the deadline."""
    server = serve(script)
    outcome, seconds = sender(delivery(server.url()), DEADLINE)
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("timeout: ")
    assert DEADLINE * 0.9 <= seconds < DEADLINE + GRACE


def test_a_large_body_that_is_never_read_ends_with_the_deadline(serve: Any, sender: Any, delivery: Any) -> None:
    """Writing is bounded too."""
    outcome, seconds = sender(delivery(serve(_never_read).url(), body=b"x" * 20_000_000), DEADLINE)
    assert isinstance(outcome, NoAnswer)
    assert seconds < DEADLINE + GRACE


def test_a_body_that_is_read_in_sips_ends_with_the_deadline(serve: Any, sender: Any, delivery: Any) -> None:
    """Writing is bounded in all, not per write."""

    def sip(peer: Any) -> None:
        while not peer.stopping.wait(0.005):
            peer.socket.recv(100_000)

    outcome, seconds = sender(delivery(serve(sip).url(), body=b"x" * 80_000_000), DEADLINE)
    assert isinstance(outcome, NoAnswer)
    assert seconds < DEADLINE + GRACE


@pytest.mark.parametrize("piece", [b"", b"\x16\x03\x03"], ids=["silent", "dribbled"])
def test_the_deadline_covers_the_tls_handshake(serve: Any, sender: Any, delivery: Any, piece: bytes) -> None:
    """A server that never finishes the handshake gets no more than the deadline."""

    def handshake(peer: Any) -> None:
        peer.send(b"\x16\x03\x03\x40\x00" if piece else b"")
        peer.dribble(piece[:1]) if piece else peer.hold()

    server = serve(handshake)
    url = server.url("localhost").replace("http:", "https:")
    outcome, seconds = sender(delivery(url), DEADLINE)
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("timeout: ")
    assert seconds < DEADLINE + GRACE


def test_a_handshake_that_hangs_leaves_no_socket_behind(serve: Any, delivery: Any) -> None:
    """The connection is closed when the attempt is over, not when the event loop is."""
    server = serve(lambda peer: peer.hold())
    url = server.url("localhost").replace("http:", "https:")

    async def attempt() -> int:
        await _delivery.asend(delivery(url), timeout=DEADLINE)
        return _open_sockets_to(server.port)

    assert asyncio.run(attempt()) == 0


@pytest.fixture
def hanging_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Name resolution that answers nobody until the test is over."""
    over = threading.Event()
    real = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **options: Any) -> Any:
        if host in ("slow.example", b"slow.example"):
            over.wait(20)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield over
    over.set()


def test_the_deadline_covers_a_resolver_that_hangs(hanging_resolver: threading.Event, delivery: Any) -> None:
    """Name resolution cannot be interrupted, so a thread is left behind, a daemon, that nobody waits for."""
    started = time.monotonic()
    outcome = _delivery.send(delivery("http://slow.example/"), timeout=DEADLINE)
    assert time.monotonic() - started < DEADLINE + GRACE
    assert isinstance(outcome, NoAnswer)
    assert outcome.error == "timeout: slow.example could not be resolved in time"
    left = [thread for thread in threading.enumerate() if thread.name == "ringback-resolver"]
    assert all(thread.daemon for thread in left)
    hanging_resolver.set()
    for thread in left:
        thread.join(5)
        assert not thread.is_alive()


def test_the_deadline_covers_a_resolver_that_hangs_under_an_event_loop(
    hanging_resolver: threading.Event, delivery: Any
) -> None:
    """The loop goes on at once."""

    async def attempt() -> tuple[Any, float]:
        started = time.monotonic()
        outcome = await _delivery.asend(delivery("http://slow.example/"), timeout=DEADLINE)
        seconds = time.monotonic() - started
        hanging_resolver.set()
        return outcome, seconds

    outcome, seconds = asyncio.run(attempt())
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("timeout: ")
    assert seconds < DEADLINE + GRACE


def test_of_an_endless_answer_only_the_start_is_read(serve: Any, sender: Any, delivery: Any) -> None:
    """A receiver cannot fill memory: reading stops after the first few kilobytes, and the connection closes."""
    ended = threading.Event()

    def flood(peer: Any) -> None:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
        peer.read_request()
        try:
            peer.send(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
            while not peer.stopping.is_set():
                peer.send(b"400\r\n" + b"x" * 1_024 + b"\r\n")
        finally:
            ended.set()

    server = serve(flood)
    outcome, seconds = sender(delivery(server.url()))
    assert outcome == Answer(status=500, excerpt="x" * 500)
    assert seconds < 2
    assert ended.wait(5), "the client hung up"
    server.stopping.set()
    # What a server can get rid of is what is read (one read of at most 64 kB) and what two kernels buffer.
    assert server.sent < 1_000_000


def test_an_endless_answer_is_cut_at_four_kilobytes(
    serve: Any, sender: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches us of an answer's body is at most one piece beyond 4,096 bytes."""
    seen: list[int] = []
    real = _delivery.answer_of
    monkeypatch.setattr(_delivery, "answer_of", lambda *given: (seen.append(len(given[-1])), real(*given))[1])

    def talk(peer: Any) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n")
        while not peer.stopping.is_set():
            peer.send(b"400\r\n" + b"x" * 1_024 + b"\r\n")

    sender(delivery(serve(talk).url()))
    assert seen == [4_096]


def _huge_header(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nx-huge: " + b"x" * 300_000 + b"\r\n\r\n")


def _endless_headers(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    while not peer.stopping.is_set():
        peer.send(b"x-more: 1\r\n" * 1_000)


def _reset_after_the_request(peer: Any) -> None:
    peer.read_request()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()


def _close_at_once(peer: Any) -> None:
    peer.socket.close()


def _close_after_the_request(peer: Any) -> None:
    peer.read_request()


def _close_within_the_headers(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nx-half")


def _close_within_the_body(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 500 Oops\r\ncontent-length: 100\r\n\r\nhalf")


def _speak_ssh(peer: Any) -> None:
    peer.send(b"SSH-2.0-OpenSSH_9.6\r\n")
    peer.read_request()


def _send_nonsense(peer: Any) -> None:
    peer.read_request()
    peer.send(os.urandom(1_000) + b"\r\n\r\n")


def _switch_protocols(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 500 Oops\r\ncontent-length: -5\r\ncontent-length: 7\r\n\r\n")


def _break_the_chunks(peer: Any) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")


@pytest.mark.parametrize(
    "script",
    [
        _huge_header,
        _endless_headers,
        _reset_after_the_request,
        _close_at_once,
        _close_after_the_request,
        _close_within_the_headers,
        _close_within_the_body,
        _speak_ssh,
        _send_nonsense,
        _switch_protocols,
        _break_the_chunks,
    ],
)
def test_a_broken_server_is_no_answer_and_no_exception(serve: Any, sender: Any, delivery: Any, script: Any) -> None:
    """Whatever a server does to the protocol, the attempt has failed and can be retried."""
    outcome, seconds = sender(delivery(serve(script).url()), 5.0)
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith(("connect: ", "connection: ", "protocol: "))
    assert seconds < 2


def test_a_port_that_nobody_listens_on_is_no_answer(sender: Any, delivery: Any) -> None:
    """A receiver that is down can be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome, seconds = sender(delivery(f"http://127.0.0.1:{port}/"))
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("connect: ")
    assert seconds < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://no-such-host.invalid/",
        "http://" + "a" * 64 + ".example/",
        "http://a..example/",
        "http://.example/",
        "https://.example/",
        "http://[::ffff:127.0.0.1.5]/",
    ],
)
def test_a_host_that_cannot_be_is_no_answer_and_no_exception(sender: Any, delivery: Any, url: str) -> None:
    """A URL that cannot be dialled fails the attempt, never the program."""
    outcome, seconds = sender(delivery(url))
    assert isinstance(outcome, NoAnswer)
    assert seconds < 5.0 + GRACE


def test_a_name_whose_first_address_refuses_is_tried_at_the_next(
    serve: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with several addresses is reachable while one of them is."""
    server = serve(lambda peer: peer.answer())
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port)) for address in ("127.0.0.9", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", _answer_for("two.example", found))
    assert _delivery.send(delivery(server.url("two.example")), timeout=2.0) == Answer(status=204)
    assert server.requests[0].all("host") == [f"two.example:{server.port}"]


def _answer_for(name: str, found: list[Any]) -> Callable[..., Any]:
    real = socket.getaddrinfo
    return lambda host, *arguments, **options: found if host == name else real(host, *arguments, **options)


# --- the environment ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_of_the_environment_are_ignored(
    serve: Any, sender: Any, delivery: Any, authority: Any, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Only the destination decides how to connect, not what happens to be exported."""
    proxy = serve(lambda peer: peer.answer())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url(path=""))
        monkeypatch.setenv(name.lower(), proxy.url(path=""))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "elsewhere.example")
    server = serve(lambda peer: peer.answer(), authority.server_context() if scheme == "https" else None)
    outcome, _ = sender(delivery(server.url("localhost"), ca_bundle=authority.bundle))
    assert outcome == Answer(status=204)
    assert (server.hits, proxy.hits) == (1, 0)


def test_credentials_of_the_environment_are_ignored(
    serve: Any, sender: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A netrc file that names the receiver's host adds nothing to the request."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password hush\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(lambda peer: peer.answer())
    sender(delivery(server.url()))
    assert server.requests[0].all("authorization") == []


# --- TLS ------------------------------------------------------------------------------------------


def test_a_certificate_by_a_trusted_authority_is_accepted(
    serve: Any, sender: Any, delivery: Any, authority: Any
) -> None:
    """``ca_bundle`` names whom to trust."""
    server = serve(lambda peer: peer.answer(), authority.server_context())
    outcome, _ = sender(delivery(server.url("localhost"), ca_bundle=authority.bundle))
    assert outcome == Answer(status=204)


def test_a_certificate_by_an_unknown_authority_is_refused(
    serve: Any, sender: Any, delivery: Any, authority: Any
) -> None:
    """Nothing is sent to a server that cannot prove who it is."""
    server = serve(lambda peer: peer.answer(), authority.server_context())
    outcome, _ = sender(delivery(server.url("localhost")))
    assert isinstance(outcome, NoAnswer)
    assert "certificate verify failed" in outcome.error
    assert server.requests == []


def test_a_certificate_for_another_host_is_refused(serve: Any, sender: Any, delivery: Any, authority: Any) -> None:
    """A trusted certificate counts only for the names in it."""
    server = serve(lambda peer: peer.answer(), authority.server_context())
    outcome, _ = sender(delivery(server.url("127.0.0.1"), ca_bundle=authority.bundle))
    assert isinstance(outcome, NoAnswer)
    assert "127.0.0.1" in outcome.error
    assert server.requests == []


@pytest.mark.parametrize("in_one_file", [True, False])
def test_a_client_certificate_is_presented(
    serve: Any, sender: Any, delivery: Any, authority: Any, tmp_path: Path, in_one_file: bool
) -> None:
    """A receiver that asks who is calling is told, from one file or from two."""
    server = serve(lambda peer: peer.answer(), authority.server_context(clients_must_show_a_certificate=True))
    cert, key = authority.issue("airflow", alternative=[x509.DNSName("airflow.example")])
    settings: dict[str, Any] = {"client_cert": cert, "client_key": key}
    if in_one_file:
        both = tmp_path / "both.pem"
        both.write_bytes(Path(cert).read_bytes() + Path(key).read_bytes())
        settings = {"client_cert": str(both)}
    outcome, _ = sender(delivery(server.url("localhost"), ca_bundle=authority.bundle, **settings))
    assert outcome == Answer(status=204)
    assert server.certificates[0]["subjectAltName"] == (("DNS", "airflow.example"),)


def test_without_the_client_certificate_that_a_server_wants_nothing_is_delivered(
    serve: Any, sender: Any, delivery: Any, authority: Any
) -> None:
    """A refused handshake is a failed attempt."""
    server = serve(lambda peer: peer.answer(), authority.server_context(clients_must_show_a_certificate=True))
    outcome, _ = sender(delivery(server.url("localhost"), ca_bundle=authority.bundle))
    assert isinstance(outcome, NoAnswer)
    assert server.requests == []


def test_http_spoken_at_a_tls_port_is_no_answer(serve: Any, sender: Any, delivery: Any, authority: Any) -> None:
    """A callback URL with the wrong scheme fails the attempt."""
    server = serve(lambda peer: peer.answer(), authority.server_context())
    outcome, _ = sender(delivery(server.url("localhost").replace("https:", "http:")))
    assert isinstance(outcome, NoAnswer)


def test_tls_spoken_at_an_http_port_is_no_answer(serve: Any, sender: Any, delivery: Any) -> None:
    """The same the other way round."""
    server = serve(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    outcome, _ = sender(delivery(server.url("localhost").replace("http:", "https:")))
    assert isinstance(outcome, NoAnswer)


def test_an_old_protocol_version_is_refused(serve: Any, sender: Any, delivery: Any, authority: Any) -> None:
    """A server that cannot do TLS 1.2 gets nothing."""
    context = authority.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = serve(lambda peer: peer.answer(), context)
    outcome, _ = sender(delivery(server.url("localhost"), ca_bundle=authority.bundle))
    assert isinstance(outcome, NoAnswer)


@pytest.mark.parametrize("setting", ["ca_bundle", "client_cert"])
def test_a_certificate_file_that_is_missing_is_the_destinations_fault(sender: Any, delivery: Any, setting: str) -> None:
    """The error names the connection and the field, and nothing is dialled."""
    with pytest.raises(DestinationError, match=rf"^connection ringback_default: {setting} cannot be used: No such"):
        sender(delivery("https://localhost:1/", **{setting: "/no/such/file.pem"}))


# --- again and again ------------------------------------------------------------------------------


def _within(name: str, sent: Any, budget: float, timeout: float = 2.0, **more: Any) -> Any:
    if name == "send_within":
        return _delivery.send_within(sent, budget=budget, timeout=timeout, **more)
    return asyncio.run(_delivery.asend_within(sent, budget=budget, timeout=timeout, **more))


@pytest.mark.parametrize("driver", ["send_within", "asend_within"])
def test_every_retry_is_signed_afresh(serve: Any, delivery: Any, monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    """The id and the body stay, the timestamp and the signatures are of the attempt."""
    answers = iter(["503 Busy", "500 Oops", "204 No Content"])
    server = serve(lambda peer: peer.answer(next(answers)))
    clock = iter([1_000_000.2, 1_000_600.9, 1_001_200.5])
    fake = SimpleNamespace(time=lambda: next(clock), monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(_exchange, "time", fake)
    sent = delivery(server.url())
    assert _within(driver, sent, budget=20) == Delivered(status=204)
    stamps = [request.all("webhook-timestamp")[0] for request in server.requests]
    assert stamps == ["1000000", "1000600", "1001200"]
    keys = [sent.destination.keys[0].public()]
    for request, stamp in zip(server.requests, stamps, strict=True):
        event = verify_event(request.headers, request.body, keys=keys, audiences=[sent.url], now=int(stamp))
        assert event.id == sent.event_id
        assert request.all("webhook-id") == [sent.event_id]
    assert len({request.body for request in server.requests}) == 1


@pytest.mark.parametrize("driver", ["send_within", "asend_within"])
def test_every_attempt_is_told_with_its_time(serve: Any, delivery: Any, driver: str) -> None:
    """Whoever records them learns when each began, how long it took, and what came of it."""
    answers = iter(["503 Busy", "204 No Content"])

    def slowly(peer: Any) -> None:
        time.sleep(0.1)
        peer.answer(next(answers))

    tried: list[Tried] = []
    before = time.time()
    decision = _within(driver, delivery(serve(slowly).url()), budget=20, timeout=5.0, tried=tried)
    assert decision == Delivered(status=204)
    assert [one.outcome for one in tried] == [Answer(status=503), Answer(status=204)]
    assert before <= tried[0].at < tried[1].at <= time.time()
    assert all(0.1 <= one.duration < 5 for one in tried)


@pytest.mark.parametrize("driver", ["send_within", "asend_within"])
def test_a_receiver_that_says_gone_is_asked_once(serve: Any, delivery: Any, driver: str) -> None:
    """410 stops for good."""
    server = serve(lambda peer: peer.answer("410 Gone"))
    assert isinstance(_within(driver, delivery(server.url()), budget=5), GiveUp)
    assert server.hits == 1


@pytest.mark.parametrize("driver", ["send_within", "asend_within"])
def test_the_budget_covers_all_attempts(serve: Any, delivery: Any, driver: str) -> None:
    """A receiver that never answers costs the budget and no more."""
    server = serve(_accept_and_say_nothing)
    started = time.monotonic()
    assert isinstance(_within(driver, delivery(server.url()), budget=1.5, timeout=0.4), Retry)
    assert time.monotonic() - started < 1.5 + GRACE
    assert server.hits == 2


@pytest.mark.parametrize("driver", ["send_within", "asend_within"])
def test_a_retry_after_beyond_the_budget_ends_the_attempts(serve: Any, delivery: Any, driver: str) -> None:
    """Nobody waits in a callback for as long as a receiver pleases."""
    server = serve(lambda peer: peer.answer("503 Busy", "retry-after: 60"))
    started = time.monotonic()
    assert _within(driver, delivery(server.url()), budget=5) == Retry(why="status 503", not_before=60.0)
    assert time.monotonic() - started < 2
    assert server.hits == 1


# --- nothing is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize("script", [lambda peer: peer.answer(), _dribble_body, _reset_after_the_request])
def test_no_socket_and_no_thread_is_left_behind(serve: Any, delivery: Any, script: Any) -> None:
    """After any attempt, the process holds as many files and threads as before."""
    server = serve(script)
    sent = delivery(server.url("localhost"))
    _delivery.send(sent, timeout=0.2)
    before = _open_sockets_to(server.port), _our_threads()
    for _ in range(5):
        _delivery.send(sent, timeout=0.2)
        asyncio.run(_delivery.asend(sent, timeout=0.2))
    gc.collect()
    for thread in _our_threads():
        thread.join(5)
    assert before[0] == _open_sockets_to(server.port) == 0
    assert _our_threads() == []


def test_an_event_loop_goes_on_while_an_attempt_waits(serve: Any, delivery: Any) -> None:
    """Twenty attempts at a silent receiver take one deadline together, so nothing blocks the others."""
    server = serve(_accept_and_say_nothing)

    async def all_at_once() -> list[Any]:
        sent = delivery(server.url())
        return await asyncio.gather(*(_delivery.asend(sent, timeout=2.0) for _ in range(20)))

    started = time.monotonic()
    outcomes = asyncio.run(all_at_once())
    assert time.monotonic() - started < 2.0 + 2 * GRACE
    assert {type(outcome) for outcome in outcomes} == {NoAnswer}


def test_a_cancelled_attempt_is_cancelled(serve: Any, delivery: Any) -> None:
    """Cancelling a task, as a triggerer does when it stops, is not mistaken for a timeout."""
    server = serve(_accept_and_say_nothing)

    async def cancelled() -> None:
        task = asyncio.create_task(_delivery.asend(delivery(server.url()), timeout=10.0))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    started = time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - started < 2


def _our_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ringback-resolver"]


def _open_sockets_to(port: int) -> int:
    """Count this process's client ends of connections to a port of the loopback."""
    rows = Path("/proc/self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    inodes = {row.split()[9] for row in rows if row.split()[2].endswith(f":{port:04X}")}
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    return sum(link == f"socket:[{inode}]" for link in links for inode in inodes)
