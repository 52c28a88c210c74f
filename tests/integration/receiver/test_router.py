"""The HTTP edge: what is refused before anything is verified, and what is documented."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from ringing import URL, make_event, signed
from serving import serving
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response as StarletteResponse

from ringback_protocol import MAX_EVENT_BYTES, PrivateKey
from ringback_receiver import Receiver

pytestmark = pytest.mark.anyio

PATH = "/airflow/completions"


@pytest.fixture
async def client(tmp_path: Path, key: PrivateKey) -> AsyncIterator[httpx.AsyncClient]:
    receiver = Receiver(URL, [str(key.public())], store=f"sqlite:///{tmp_path}/ringback.db")
    async with serving(receiver) as client:
        yield client


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_other_content_is_unsupported(client: httpx.AsyncClient, key: PrivateKey, content_type: str) -> None:
    """A browser's form cannot ring."""
    headers, body = signed(make_event("req_1", "run_1"), key)
    response = await client.post(PATH, headers={**headers, "content-type": content_type}, content=body)
    assert (response.status_code, response.json()) == (415, {"error": "unsupported_media_type"})


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/CloudEvents+JSON"],
)
async def test_json_and_cloudevents_are_taken(client: httpx.AsyncClient, key: PrivateKey, content_type: str) -> None:
    """Parameters and case do not matter."""
    headers, body = signed(make_event("req_1", "run_1"), key)
    response = await client.post(PATH, headers={**headers, "content-type": content_type}, content=body)
    assert (response.status_code, response.json()) == (202, {"outcome": "parked"})


@pytest.mark.parametrize("announced", [True, False])
async def test_large_body_is_refused(client: httpx.AsyncClient, announced: bool) -> None:
    """Whether its length is announced or only found out."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_EVENT_BYTES // 1_000 + 1):
            yield b"x" * 1_000

    response = await client.post(
        PATH,
        headers={"content-type": "application/json"},
        content=b"x" * (MAX_EVENT_BYTES + 1) if announced else chunks(),
    )
    assert (response.status_code, response.json()) == (413, {"error": "too_large"})


@pytest.mark.parametrize(
    ("length", "status", "error"),
    [
        ("9" * 4_301, 413, "too_large"),
        (str(MAX_EVENT_BYTES + 1), 413, "too_large"),
        ("0" * 4_301 + "2", 400, "missing_header"),
        ("many", 400, "malformed_header"),
        ("-1", 400, "malformed_header"),
        ("", 400, "malformed_header"),
        ("\u00b2", 400, "malformed_header"),
    ],
    ids=["thousands of digits", "one too many", "zeros in front", "a word", "negative", "nothing", "no digit"],
)
async def test_absurd_length_is_refused(receiver: Receiver, length: str, status: int, error: str) -> None:
    """Whatever a lenient server lets through is an answer of ours, and never a failure."""
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    headers = [(b"content-type", b"application/json"), (b"content-length", length.encode("latin-1"))]
    async with receiver, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.post(PATH, headers=headers, content=b"{}")
    assert (response.status_code, response.json()) == (status, {"error": error})


async def test_unsigned_body_is_refused(client: httpx.AsyncClient) -> None:
    """Without headers there is nothing to verify."""
    response = await client.post(PATH, json={})
    assert (response.status_code, response.json()) == (400, {"error": "missing_header"})


async def test_repeated_header_is_refused(client: httpx.AsyncClient, key: PrivateKey) -> None:
    """Two ids are one too many; a server that joins them must not hide it."""
    headers, body = signed(make_event("req_1", "run_1"), key)
    response = await client.post(PATH, headers=[*headers.items(), ("webhook-id", headers["webhook-id"])], content=body)
    assert (response.status_code, response.json()) == (400, {"error": "duplicate_header"})


async def test_endpoint_is_documented(client: httpx.AsyncClient) -> None:
    """OpenAPI names what is taken and every answer."""
    operation = (await client.get("/openapi.json")).json()["paths"][PATH]["post"]
    assert set(operation["responses"]) == {
        "204",
        "202",
        "400",
        "401",
        "403",
        "408",
        "410",
        "413",
        "415",
        "431",
        "503",
    }
    assert set(operation["requestBody"]["content"]) == {
        "application/json",
        "application/cloudevents+json",
    }
    assert [parameter["name"] for parameter in operation["parameters"]] == [
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]


@pytest.mark.parametrize(
    ("url", "path", "served"),
    [
        ("https://portal.example", None, "/"),
        ("https://portal.example/a%20b?tenant=7", None, "/a%20b?tenant=7"),
        ("https://portal.example/airflow/completions", "/behind/proxy", "/behind/proxy"),
    ],
)
async def test_path_follows_the_callback_url(
    tmp_path: Path, key: PrivateKey, url: str, path: str | None, served: str
) -> None:
    """The route is the URL's own, unless a proxy rewrites it."""
    receiver = Receiver(url, [str(key.public())], store=f"sqlite:///{tmp_path}/x.db", path=path)
    assert receiver.router is receiver.router
    async with serving(receiver) as client:
        headers, body = signed(make_event("req_1", "run_1", url=url), key)
        assert (await client.post(served, headers=headers, content=body)).status_code == 202


@pytest.mark.parametrize(("version", "closes"), [("1.0", True), ("1.1", True), ("2", False), ("3", False)])
async def test_early_refusal_closes_the_connection_where_that_can_be_said(
    receiver: Receiver, version: str, closes: bool
) -> None:
    """What was not read shall not be sent on; in HTTP/2 the header would be an error."""
    app = FastAPI()
    app.include_router(receiver.router)
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": version,
        "method": "POST",
        "path": PATH,
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 415
    assert ((b"connection", b"close") in sent[0]["headers"]) is closes


async def test_router_works_behind_a_middleware(tmp_path: Path, key: PrivateKey) -> None:
    """One that wraps the request's stream, as Starlette's base class does."""
    receiver = Receiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/x.db", body_timeout=0.2)
    app = FastAPI()
    app.include_router(receiver.router)

    @app.middleware("http")
    async def look_first(request: Request, go_on: RequestResponseEndpoint) -> StarletteResponse:
        await request.body()
        return await go_on(request)

    headers, body = signed(make_event("req_1", "run_1"), key)
    async with receiver, httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.post(PATH, headers=headers, content=body)).status_code == 202
        assert (await client.post(PATH, headers=headers, content=body + b" " * MAX_EVENT_BYTES)).status_code == 413


async def test_dependency_is_asked_first(tmp_path: Path, key: PrivateKey) -> None:
    """Whoever includes the router with a dependency has it asked, and without one FastAPI's ways are not gone."""
    receiver = Receiver(URL, [str(key.public())], store=f"sqlite:///{tmp_path}/ringback.db")

    async def nobody(request: Request) -> None:
        raise HTTPException(418)

    guarded, open_ = FastAPI(), FastAPI()
    guarded.include_router(receiver.router, dependencies=[Depends(nobody)])
    open_.include_router(receiver.router)
    post = signed(make_event("req_1", "run_1"), key)
    statuses = []
    async with receiver:
        for app in (guarded, open_):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
                answer = await client.post(PATH, headers=post[0], content=post[1])
                statuses.append(answer.status_code)
                assert (await client.get(PATH)).status_code == 405
    assert statuses == [418, 202]
    assert guarded.openapi()["paths"] == open_.openapi()["paths"]
