"""How a connection is made: to the judged address, under the host's own name, directly or through the one proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_network
from typing import Any

import pytest

from ringback_notifier import _delivery
from ringback_notifier._addresses import AddressRules
from ringback_notifier._egress import EgressProxy
from ringback_notifier._policy import Answer, NoAnswer
from ringback_notifier.errors import NotAllowedError
from ringback_notifier.relay._sender import Sender

LOOPBACK_ALLOWED = AddressRules(networks=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def named(authority: Any) -> tuple[ssl.SSLContext, list[str | None]]:
    """TLS for ``localhost``, and the names that clients asked for."""
    asked: list[str | None] = []
    context = authority.server_context()
    context.sni_callback = lambda sock, name, _: asked.append(name)
    return context, asked


def test_the_server_is_asked_for_by_its_name(
    attempt: Any, serve: Any, delivery: Any, named: Any, authority: Any
) -> None:
    """The address is what is dialled; SNI, the certificate's check and ``Host`` go by the name."""
    context, asked = named
    server = serve(lambda peer: peer.answer(), context)
    assert attempt(delivery(server.url("localhost"), ca_bundle=authority.bundle)) == Answer(status=204)
    assert asked == ["localhost"]
    assert server.requests[0].all("host") == [f"localhost:{server.port}"]


def test_an_address_that_swallows_packets_leaves_time_for_the_next(
    attempt: Any, serve: Any, delivery: Any, dns: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host with a dead first address is reached at its second, within the one deadline."""
    server = serve(lambda peer: peer.answer())
    dns.names["two.example"] = [["127.0.0.9", "127.0.0.1"]]
    waited = swallow(monkeypatch, "127.0.0.9")
    assert attempt(delivery(server.url("two.example"))) == Answer(status=204)
    assert 1.5 < waited[0] < 2.6  # half of the five seconds


def swallow(monkeypatch: pytest.MonkeyPatch, dead: str) -> list[float]:
    """Have connections to one address end when whoever dials gives up; return for how long each waited."""
    waited: list[float] = []
    create = socket.create_connection
    sock_connect = asyncio.SelectorEventLoop.sock_connect

    def connect(address: Any, timeout: float, *arguments: Any, **options: Any) -> socket.socket:
        if address[0] == dead:
            waited.append(timeout)
            raise TimeoutError("timed out")
        return create(address, timeout, *arguments, **options)

    async def connect_in_loop(loop: Any, sock: socket.socket, address: Any) -> None:
        if address[0] == dead:
            started = loop.time()
            try:
                await asyncio.sleep(60)
            finally:
                waited.append(loop.time() - started)
        await sock_connect(loop, sock, address)

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect_in_loop)
    return waited


def test_a_kept_connection_serves_no_destination_that_may_not_dial_it(serve: Any, delivery: Any) -> None:
    """What one tenant's exception opened stays shut for the other."""
    server = serve(lambda peer: (peer.answer(), peer.answer()))
    url = server.url()

    async def both() -> list[Any]:
        sender = Sender(timeout=5)
        context = ssl.create_default_context()
        try:
            return [
                await sender.send(delivery(url, addresses=rules), context)
                for rules in (LOOPBACK_ALLOWED, AddressRules(), LOOPBACK_ALLOWED)
            ]
        finally:
            await sender.aclose()

    first, second, third = asyncio.run(both())
    assert first == third == Answer(status=204)
    assert isinstance(second, NoAnswer)
    assert second.error.startswith("address: ")
    assert server.hits == 1


# --- through a proxy


class Proxy:
    """An HTTP proxy on the loopback that leads every name to one server, and notes what it was asked."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepting, *self._threads):
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._talk, args=(client,)))
            self._threads[-1].start()

    def _talk(self, client: socket.socket) -> None:
        client.settimeout(10)
        with client, socket.create_connection(("127.0.0.1", self._to), 10) as server:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65_536)
            self.asked.append(head.decode("latin-1"))
            if head.startswith(b"CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(head)
            back = threading.Thread(target=_copy, args=(server, client))
            back.start()
            _copy(client, server)
            back.join(10)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    with ExitStack() as stack:

        def start(port: int) -> Proxy:
            started = Proxy(port)
            stack.callback(started.close)
            return started

        yield start


def through(proxy: Proxy, auth: tuple[bytes, bytes] | None = None) -> EgressProxy:
    return EgressProxy(url=f"http://127.0.0.1:{proxy.port}", auth=auth)


def test_https_goes_through_a_proxy_end_to_end(
    attempt: Any, serve: Any, proxy: Any, delivery: Any, dns: Any, named: Any, authority: Any
) -> None:
    """The proxy resolves the name and sees only it; TLS is with the receiver."""
    context, asked = named
    server = serve(lambda peer: peer.answer(), context)
    way = proxy(server.port)
    settings = {"addresses": AddressRules(), "egress_proxy": through(way, (b"ann", b"hush"))}
    outcome = attempt(delivery("https://localhost/hook?t=1", ca_bundle=authority.bundle, **settings))
    assert outcome == Answer(status=204)
    assert way.asked[0].splitlines()[0] == "CONNECT localhost:443 HTTP/1.1"
    assert "proxy-authorization: basic yw5uomh1c2g=" in way.asked[0].lower()
    assert "webhook" not in way.asked[0].lower()
    assert asked == ["localhost"]
    assert server.requests[0].line == "POST /hook?t=1 HTTP/1.1"
    assert server.requests[0].all("proxy-authorization") == []
    assert dns.asked == []


def test_http_goes_through_a_proxy_as_a_whole_url(
    attempt: Any, serve: Any, proxy: Any, delivery: Any, dns: Any
) -> None:
    """RFC 9112, section 3.2.2."""
    server = serve(lambda peer: peer.answer())
    way = proxy(server.port)
    for authority in ("portal.example:8080", "portal.example"):
        url = f"http://{authority}/hook"
        outcome = attempt(delivery(url, addresses=AddressRules(), egress_proxy=through(way)))
        assert outcome == Answer(status=204)
        assert server.requests[-1].line == f"POST {url} HTTP/1.1"
        assert server.requests[-1].all("host") == [authority]
    assert dns.asked == []


def test_a_proxy_that_refuses_is_no_answer(attempt: Any, serve: Any, delivery: Any) -> None:
    """It is told what the proxy said, and can be tried again."""

    def refuse(peer: Any) -> None:
        peer.socket.recv(65_536)
        peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    way = serve(refuse)
    proxy = EgressProxy(url=f"http://127.0.0.1:{way.port}", auth=(b"ann", b"hush"))
    outcome = attempt(delivery("https://portal.example/", egress_proxy=proxy))
    assert isinstance(outcome, NoAnswer)
    assert outcome.error == "connect: 407 Proxy Authentication Required"


def test_a_proxy_that_hangs_ends_with_the_deadline(serve: Any, delivery: Any) -> None:
    """It has the same one deadline as everything else."""
    way = serve(lambda peer: peer.hold())
    proxy = EgressProxy(url=f"http://127.0.0.1:{way.port}")
    for outcome in (
        _delivery.send(delivery("https://portal.example/", egress_proxy=proxy), timeout=0.3),
        asyncio.run(_delivery.asend(delivery("https://portal.example/", egress_proxy=proxy), timeout=0.3)),
    ):
        assert isinstance(outcome, NoAnswer)
        assert outcome.error.startswith("timeout: ")


def test_a_proxy_is_no_way_to_a_forbidden_address(delivery: Any) -> None:
    """An address in the URL is judged before anybody is asked."""
    from ringback_notifier._destination import parse_destination

    destination = parse_destination(
        "portal",
        conn_type="ringback",
        password=delivery("https://portal.example/").destination.keys[0].reveal(),
        extra='{"allow": ["http://169.254.169.254/"], "egress_proxy": "http://proxy.example:3128"}',
    )
    with pytest.raises(NotAllowedError, match="metadata service"):
        destination.check_allowed("http://169.254.169.254/")
