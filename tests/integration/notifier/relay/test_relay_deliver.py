"""Delivering what is due, to receivers of every kind."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from relay_servers import HANG, RESET, Request, Response
from relay_world import KEY, World, destination, drain_until

from ringback_notifier.errors import DestinationError
from ringback_notifier.relay import _schedule
from ringback_protocol import parse_verification_keys
from ringback_protocol.signing import signed_content

pytestmark = pytest.mark.anyio


def dead_port() -> str:
    """Return the URL of a port that nobody listens on."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{placeholder.getsockname()[1]}/completions"


async def test_an_event_arrives_signed_and_to_the_byte(world: World) -> None:
    """The receiver gets the stored body with the event's id and a signature of the destination's key."""
    receiver = world.receiver()
    world.enqueue(world.event(receiver.url))
    report = await drain_until(world.relay(), lambda: world.status(0) == "delivered")
    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/completions", b'{"number": 0}')
    assert request.headers["webhook-id"] == "msg_000000"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    stamp, signature = request.headers["webhook-timestamp"], request.headers["webhook-signature"]
    assert abs(int(stamp) - time.time()) < 10
    import base64

    (key,) = parse_verification_keys(KEY.public())
    content = signed_content("msg_000000", stamp, request.body)
    assert key.verify(content, base64.b64decode(signature.removeprefix("v1a,")))
    assert report.delivered == 1
    assert report.last_error is None
    (attempt,) = world.attempts(0)
    assert (attempt.sender, attempt.status, attempt.error) == ("relay", 204, None)


async def test_connections_are_kept_for_the_next_event(world: World) -> None:
    """Many events to one host go over a few connections."""
    receiver = world.receiver()
    world.enqueue(*(world.event(receiver.url, number) for number in range(200)))
    await drain_until(world.relay(host_concurrency=5), lambda: world.outbox.counts().get("delivered") == 200)
    assert receiver.connections <= 10
    assert sorted(receiver.ids) == [f"msg_{number:06d}" for number in range(200)]


@pytest.mark.parametrize(
    ("response", "expected", "error"),
    [
        (Response(status=500, body=b"oops"), "due", "status 500: oops"),
        (Response(status=302, headers={"location": "http://127.0.0.1:1/"}), "due", "redirects are never followed"),
        (Response(status=401), "due", "status 401"),
        (Response(status=410), "gone", "no longer waits"),
        (RESET, "due", "connection:"),
        (Response(status=200, body=b"x" * 100_000), "delivered", None),
        (Response(status=500, body=b"x" * 100_000), "due", "status 500"),
    ],
)
async def test_an_answer_decides(world: World, response: Response, expected: str, error: str | None) -> None:
    """Each answer becomes the status that the policy says, with an attempt that tells of it."""
    receiver = world.receiver(lambda request: response)
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    assert world.status(0) == expected
    attempt = world.attempts(0)[0]
    assert (attempt.error is None) if error is None else (error in (attempt.error or ""))
    row = world.row("msg_000000")
    assert row is not None
    assert row.attempts == 1
    if expected == "due":
        assert 3.5 < row.due_at - time.time() < 6
        assert row.leased_by is None


async def test_retry_after_is_honoured(world: World) -> None:
    """A receiver that asks for a minute is left alone for a minute."""
    receiver = world.receiver(lambda request: Response(status=429, headers={"retry-after": "60"}))
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    row = world.row("msg_000000")
    assert row is not None
    assert 50 < row.due_at - time.time() <= 60.5


async def test_a_receiver_that_hangs_is_a_timeout(world: World) -> None:
    """The deadline of an attempt holds, and says so."""
    receiver = world.receiver(lambda request: HANG)
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(attempt_timeout=0.3), lambda: world.attempts(0))
    (attempt,) = world.attempts(0)
    assert (attempt.error or "").startswith("timeout:")
    assert attempt.duration < 2


async def test_a_success_whose_body_never_comes_is_a_delivery(world: World) -> None:
    """The status has said it all."""
    receiver = world.receiver(lambda request: Response(status=200, headers={"content-length": "10"}))
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    assert world.status(0) == "delivered"


async def test_a_success_whose_body_is_cut_off_is_a_delivery(world: World) -> None:
    """A server that closes too soon after its 200 has recorded the event all the same."""
    receiver = world.receiver(lambda request: Response(headers={"content-length": "10"}, status=200, then="close"))
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    assert world.status(0) == "delivered"


async def test_a_dead_port_is_a_failed_attempt(world: World) -> None:
    """Nobody listens: the event stays due."""
    world.enqueue(world.event(dead_port()))
    report = await drain_until(world.relay(), lambda: world.attempts(0))
    assert world.status(0) == "due"
    assert (report.failed, report.delivered) == (1, 0)


async def test_a_connection_that_its_server_closed_costs_no_attempt(world: World) -> None:
    """A kept connection that breaks before an answer is replaced at once, with a fresh signature."""
    seen: list[Request] = []

    def script(request: Request) -> Response:
        seen.append(request)
        on_this_connection = [earlier for earlier in seen if earlier.connection == request.connection]
        return Response() if len(on_this_connection) == 1 else RESET

    receiver = world.receiver(script)
    relay = world.relay(host_concurrency=1)
    world.enqueue(world.event(receiver.url, 1), world.event(receiver.url, 2), world.event(receiver.url, 3))
    await drain_until(relay, lambda: world.outbox.counts().get("delivered") == 3)
    assert [len(world.attempts(number)) for number in (1, 2, 3)] == [1, 1, 1]
    assert receiver.connections == 3
    assert len(seen) == 5


async def test_a_fresh_connection_that_breaks_is_a_failed_attempt(world: World) -> None:
    """Only a kept connection gets a second chance: there is no retry below the signing otherwise."""
    receiver = world.receiver(lambda request: RESET)
    world.enqueue(world.event(receiver.url))
    await drain_until(world.relay(), lambda: world.attempts(0))
    assert len(receiver.requests) == 1


async def test_garbage_is_a_protocol_error(world: World) -> None:
    """What is no HTTP is a failed attempt, not the end of the relay."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    world.enqueue(world.event(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/completions"))
    await drain_until(world.relay(), lambda: world.attempts(0))
    server.close()
    await server.wait_closed()
    assert (world.attempts(0)[0].error or "").startswith("protocol:")


async def test_the_tenth_failure_is_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that is never taken ends dead after ten attempts, and a redelivery gives it ten more."""
    monkeypatch.setattr(_schedule, "DELAYS", (0.0,) * 10)
    receiver = world.receiver(lambda request: Response(status=404))
    world.enqueue(world.event(receiver.url))
    report = await drain_until(world.relay(), lambda: world.status(0) == "dead")
    assert len(receiver.requests) == 10
    assert (report.failed, report.dead) == (10, 1)
    assert world.outbox.redeliver(event_ids=["msg_000000"], now=time.time()).number == 1
    await drain_until(world.relay(), lambda: world.status(0) == "dead")
    assert len(receiver.requests) == 20
    assert len(world.attempts(0)) == 20


async def test_a_url_that_is_not_allowed_any_more_is_refused(world: World) -> None:
    """The allow-list is checked again at delivery, and nothing is sent."""
    receiver = world.receiver()
    world.enqueue(world.event(receiver.base + "/forbidden?secret=hush"))
    report = await drain_until(world.relay(), lambda: world.status(0) == "refused")
    assert receiver.requests == []
    assert report.refused == 1
    (attempt,) = world.attempts(0)
    assert "does not allow" in (attempt.error or "")
    assert "hush" not in (attempt.error or "")


async def test_a_missing_connection_is_a_failed_attempt(world: World) -> None:
    """Connections get added, so the schedule goes on; good destinations are not concerned."""
    receiver = world.receiver()
    world.destinations["portal"] = DestinationError("there is no Airflow connection ringback_portal")
    world.enqueue(world.event(receiver.url, 1, destination="portal"), world.event(receiver.url, 2))
    await drain_until(world.relay(), lambda: world.attempts(1) and world.attempts(2))
    assert (world.status(1), world.status(2)) == ("due", "delivered")
    assert "ringback_portal" in (world.attempts(1)[0].error or "")


async def test_a_look_up_that_breaks_costs_no_attempt(world: World) -> None:
    """If Airflow's secrets cannot be read just now, the event waits a little."""
    receiver = world.receiver()
    world.destinations["portal"] = RuntimeError("the API server is restarting")
    world.enqueue(world.event(receiver.url, 1, destination="portal"))
    row: Any = None

    def given_back() -> bool:
        nonlocal row
        row = world.row("msg_000001")
        return row.status == "due" and row.due_at > time.time() + 1

    await drain_until(world.relay(), given_back)
    assert row.attempts == 0
    assert world.attempts(1) == []


async def test_destinations_are_looked_up_now_and_then_only(world: World) -> None:
    """A hundred events cost one look-up."""
    receiver = world.receiver()
    world.enqueue(*(world.event(receiver.url, number) for number in range(100)))
    await drain_until(world.relay(), lambda: world.outbox.counts().get("delivered") == 100)
    assert world.look_ups == 1


async def test_certificates_that_cannot_be_read_are_a_failed_attempt(world: World) -> None:
    """A wrong path in the connection is told in the attempt."""
    world.destinations["default"] = destination(ca_bundle="/nowhere/ca.pem")
    world.enqueue(world.event("https://127.0.0.1:1/completions"))
    await drain_until(world.relay(), lambda: world.attempts(0))
    assert "ca_bundle" in (world.attempts(0)[0].error or "")


async def test_an_event_that_is_enqueued_while_idle_goes_out_at_once(world: World) -> None:
    """The outbox wakes the relay; it does not wait for its next look."""
    receiver = world.receiver()
    relay = world.relay(poll=30.0)
    stop = asyncio.Event()
    draining = asyncio.create_task(relay.drain(30, stop=stop))
    await asyncio.sleep(0.5)
    started = time.monotonic()
    world.enqueue(world.event(receiver.url))
    while world.status(0) != "delivered":
        assert time.monotonic() - started < 5
        await asyncio.sleep(0.01)
    stop.set()
    await draining
