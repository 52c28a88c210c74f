"""Sending over TLS: whom the relay trusts, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from relay_world import World, destination, drain_until

from ringback_notifier._exchange import Delivery
from ringback_notifier._guard import admit_all
from ringback_notifier._policy import NoAnswer
from ringback_notifier.relay._connection import connect
from ringback_notifier.relay._sender import Sender

pytestmark = pytest.mark.anyio


async def tls_receiver(context: Any) -> tuple[asyncio.Server, list[bytes], str]:
    got: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                got.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "localhost", 0, ssl=context, family=socket.AF_INET)
    return server, got, f"https://localhost:{server.sockets[0].getsockname()[1]}/completions"


def allowing(url: str, **settings: Any) -> Any:
    from ringback_notifier._allow import parse_pattern

    return destination(allow=(parse_pattern(url),), **settings)


async def test_a_receiver_with_a_trusted_certificate_gets_its_event(world: World, authority: Any) -> None:
    """The destination's own authority is believed, and the connection is kept."""
    server, got, url = await tls_receiver(authority.server_context())
    world.destinations["default"] = allowing(url, ca_bundle=authority.bundle)
    world.enqueue(*(world.event(url, number) for number in range(20)))
    await drain_until(world.relay(), lambda: world.outbox.counts()["delivered"] == 20)
    server.close()
    await server.wait_closed()
    assert len(got) == 20


async def test_a_certificate_that_nobody_vouches_for_is_a_failed_attempt(world: World, authority: Any) -> None:
    """Nothing is sent to whoever cannot show who he is."""
    server, got, url = await tls_receiver(authority.server_context())
    world.destinations["default"] = allowing(url)
    world.enqueue(world.event(url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    server.close()
    await server.wait_closed()
    assert "certificate" in (world.attempts(0)[0].error or "").lower()
    assert got == []


async def test_a_client_certificate_is_shown(world: World, authority: Any) -> None:
    """A receiver may want to see one."""
    server, got, url = await tls_receiver(authority.server_context(clients_must_show_a_certificate=True))
    certificate, key = authority.issue("relay", alternative=[])
    world.destinations["default"] = allowing(url, ca_bundle=authority.bundle, client_cert=certificate, client_key=key)
    world.enqueue(world.event(url))
    await drain_until(world.relay(), lambda: world.status(0) == "delivered")
    server.close()
    await server.wait_closed()
    assert len(got) == 1


async def test_without_the_client_certificate_that_a_server_wants_an_event_waits(world: World, authority: Any) -> None:
    """The attempt is recorded with what the server said, and another one is due."""
    server, got, url = await tls_receiver(authority.server_context(clients_must_show_a_certificate=True))
    world.destinations["default"] = allowing(url, ca_bundle=authority.bundle)
    world.enqueue(world.event(url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    server.close()
    await server.wait_closed()
    assert "certificate" in (world.attempts(0)[0].error or "")
    assert (world.status(0), got) == ("due", [])


async def test_a_handshake_that_hangs_leaves_no_socket_open() -> None:
    """A server that accepts and is silent costs one attempt, and its connection is closed."""
    context = destination().ssl_context()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/completions"
        sender = Sender(timeout=0.3)
        delivery = Delivery(event_id="msg_1", url=url, body=b"{}", destination=destination())
        outcome = await sender.send(delivery, context)
        assert isinstance(outcome, NoAnswer)
        assert outcome.error.startswith("timeout:")
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(5)
            while await asyncio.to_thread(peer.recv, 65_536):
                pass
        await sender.aclose()
    gc.collect()


async def test_an_address_that_swallows_packets_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a dead first address is reached at its second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        create = loop.create_connection

        def resolve(host: str, port: Any, **_: Any) -> list[Any]:
            return [(2, 1, 6, "", (address, port)) for address in ("192.0.2.1", "127.0.0.1")]

        async def dial(factory: Any, host: str, port: int, **options: Any) -> Any:
            if host == "192.0.2.1":
                await asyncio.sleep(60)
            return await create(factory, host, port, **options)

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(loop, "create_connection", dial)
        started = time.monotonic()
        connection = await connect("portal.example", port, admit=admit_all, context=None, within=1.0)
        assert 0.4 < time.monotonic() - started < 0.95
        connection.close()
        await asyncio.sleep(0)


async def test_renewed_certificates_are_noticed(world: World, tmp_path: Path, authority: Any) -> None:
    """When the file is replaced, a later look-up trusts the new one."""
    from ringback_notifier.relay._destinations import Destinations

    bundle = tmp_path / "ca.pem"
    certificates = (authority.folder / "ca.pem").read_bytes()
    bundle.write_bytes(certificates)

    async def look_up(name: str) -> Any:
        return destination(ca_bundle=str(bundle))

    contexts = []
    cache = Destinations(look_up)
    for renewed in (False, False, True):
        if renewed:
            bundle.write_bytes(certificates + b"\n")
        contexts.append((await cache.get("default")).context)
        cache._entries.clear()
    assert contexts[0] is contexts[1]
    assert contexts[1] is not contexts[2]
    await cache.aclose()
