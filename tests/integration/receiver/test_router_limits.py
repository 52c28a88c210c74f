"""Strangers at the HTTP edge, byte by byte, with both of uvicorn's parsers."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from ringing import URL, make_event, signed, until
from serving import serving

from ringback_protocol import MAX_EVENT_BYTES, PrivateKey
from ringback_receiver import Receiver

pytestmark = pytest.mark.anyio

PATH = "/airflow/completions"
BODY_TIMEOUT = 0.5


@pytest.fixture(params=["h11", "httptools"])
async def client(request: pytest.FixtureRequest, tmp_path: Path, key: PrivateKey) -> AsyncIterator[httpx.AsyncClient]:
    store = f"sqlite:///{tmp_path}/ringback.db"
    receiver = Receiver(URL, [str(key.public())], store=store, body_timeout=BODY_TIMEOUT)
    async with serving(receiver, http=request.param, timeout_keep_alive=1) as client:
        yield client


@pytest.fixture
def delivery(key: PrivateKey) -> tuple[dict[str, str], bytes]:
    """A good one."""
    return signed(make_event("req_1", "run_1"), key)


def head(headers: dict[str, str], *more: str) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", "host: portal.example"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1")


async def exchange(client: httpx.AsyncClient, *pieces: bytes) -> tuple[list[int], bytes]:
    """Send pieces, and return the statuses of all that comes back until the server hangs up."""
    loop = asyncio.get_running_loop()
    said = b""
    # A bare socket: asyncio's streams drop what was said before a reset.
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as connection:
        connection.setblocking(False)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                await loop.sock_sendall(connection, piece)
        with contextlib.suppress(ConnectionError):
            while chunk := await asyncio.wait_for(loop.sock_recv(connection, 65_536), 10):
                said += chunk
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]], said


async def is_recorded(client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]) -> bool:
    """Tell whether the good delivery is a duplicate by now."""
    headers, body = delivery
    return (await client.post(PATH, headers=headers, content=body)).status_code == 204


async def test_other_methods_are_not_allowed(client: httpx.AsyncClient) -> None:
    """The answer says what is."""
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        response = await client.request(method, PATH)
        assert (response.status_code, response.headers["allow"]) == (405, "POST"), method


async def test_compressed_event_is_refused(client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]) -> None:
    """Also one that was signed: it is never unpacked."""
    headers, body = delivery
    response = await client.post(PATH, headers={**headers, "content-encoding": "gzip"}, content=gzip.compress(body))
    assert (response.status_code, response.json()) == (415, {"error": "unsupported_encoding"})


async def test_chunked_event_is_taken(client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]) -> None:
    """Its size is found out on the way."""
    headers, body = delivery

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:100]
        yield body[100:]

    assert (await client.post(PATH, headers=headers, content=chunks())).status_code == 202


async def test_endless_chunks_end_at_the_limit(client: httpx.AsyncClient) -> None:
    """The server hangs up on whoever goes on."""
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
    pieces = [chunk] * (MAX_EVENT_BYTES // 0x1000 + 1)
    statuses, said = await exchange(
        client, head({"content-type": "application/json"}, "transfer-encoding: chunked"), *pieces
    )
    assert statuses == [413]
    assert b"connection: close" in said


LYING_OR_SWOLLEN: list[tuple[list[str], list[int]]] = [
    (["content-length: 2", "content-length: 3"], [400]),
    (["content-length: 2", "content-length: 2"], [400, 401]),
    (["content-length: 2", "transfer-encoding: chunked"], [400]),
    (["content-length: +2"], [400]),
    (["content-length: 0x2"], [400]),
    (["content-length: 99999999999999999999999999"], [400, 413]),
    (["content-length: 20001"], [413]),
    (["content-length: 2", "content-type: text/plain"], [400]),
    (["content-length: 2", "webhook-id: msg_2"], [400]),
    (["content-length: 2", *["x: y"] * 101], [431]),
    (["content-length: 2", "x: " + "y" * 20_000], [431]),
    (["content-length: 2", "x: " + "y" * 200_000], [400, 431]),
    (["content-length: 2", "x y: z"], [400]),
    (["content-length: 2", "webhook-id : msg_2"], [400]),
]
"""Headers, and the statuses of which one must come.

A parser that merges two equal lengths gives us one, which is then only too short for its signature.
"""


async def test_head_that_lies_or_swells_is_refused(
    client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]
) -> None:
    """By the server or by us: one answer, an end, and nothing recorded."""
    for more, answers in LYING_OR_SWOLLEN:
        statuses, _ = await exchange(client, head(delivery[0], *more, "connection: close"), b"{}")
        assert len(statuses) == 1, more
        assert statuses[0] in answers, more
    assert not await is_recorded(client, delivery)


async def test_length_that_is_too_short_is_no_event(
    client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]
) -> None:
    """What is left over is no request, and nothing of it is believed."""
    headers, body = delivery
    statuses, _ = await exchange(client, head(headers, f"content-length: {len(body) - 10}"), body)
    assert statuses[0] in (400, 401)
    assert set(statuses) <= {400, 401}
    assert not await is_recorded(client, delivery)


async def test_length_that_is_too_long_waits_no_longer_than_the_deadline(
    client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]
) -> None:
    """The body never becomes whole."""
    headers, body = delivery
    began = time.monotonic()
    statuses, said = await exchange(client, head(headers, f"content-length: {len(body) + 1}"), body)
    assert time.monotonic() - began >= BODY_TIMEOUT
    assert statuses == [408]
    assert said.endswith(b'{"error":"too_slow"}')
    assert not await is_recorded(client, delivery)


async def test_body_that_drips_is_cut_off(client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes]) -> None:
    """A byte now and then does not keep a connection: the deadline is for all of it."""
    headers, body = delivery
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(head(headers, f"content-length: {len(body)}"))
    began = time.monotonic()
    ended = asyncio.create_task(reader.read())
    for byte in body:
        writer.write(bytes([byte]))
        await asyncio.wait([ended], timeout=BODY_TIMEOUT / 10)
        if ended.done():
            break
    assert b" 408 " in await asyncio.wait_for(ended, 10)
    assert time.monotonic() - began >= BODY_TIMEOUT
    writer.close()


async def test_sender_that_hangs_up_leaves_nothing(
    client: httpx.AsyncClient, delivery: tuple[dict[str, str], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Half a body is noted, and forgotten."""
    headers, body = delivery
    _, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(head(headers, f"content-length: {len(body)}") + body[:-1])
    await writer.drain()
    writer.close()
    expected = f"request refused: incomplete (event {headers['webhook-id']}, unverified)"
    await until(lambda: expected in caplog.messages)
    assert not await is_recorded(client, delivery)


async def test_flood_of_junk_is_one_line_in_the_log(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """And the line says neither what came nor from a stranger's mouth who it claims to be."""
    caplog.set_level(logging.INFO, "ringback_receiver")
    junk = {"content-type": "application/json", "webhook-id": "x\u00ffy", "webhook-signature": "v1,secret"}
    for _ in range(50):
        response = await client.post(PATH, headers={k: v.encode("latin-1") for k, v in junk.items()}, content=b"junk")
        assert response.status_code == 400
    lines = [record.getMessage() for record in caplog.records if record.name == "ringback_receiver"]
    assert lines == ["request refused: malformed_header"]
