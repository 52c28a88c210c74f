"""The endpoint as an application of its own, on a real server."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, make_event, signed
from serving import serving

from ringback_protocol import MAX_EVENT_BYTES, PrivateKey
from ringback_receiver import Receiver
from ringback_receiver.errors import ReceiverNotOpen

pytestmark = pytest.mark.anyio

PATH = "/airflow/completions"


@pytest.fixture
def receiver(tmp_path: Path, key: PrivateKey) -> Receiver:
    return Receiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/ringback.db")


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_event_is_recorded(receiver: Receiver, key: PrivateKey, http: str) -> None:
    """Once and again, as through the router."""
    headers, body = signed(make_event("req_1", "run_1"), key)
    async with serving(receiver, alone=True, http=http) as client:
        first = await client.post(PATH, headers=headers, content=body)
        assert (first.status_code, first.json()) == (202, {"outcome": "parked"})
        assert (await client.post(PATH, headers=headers, content=body[:-1])).status_code == 401


async def test_what_is_no_event_is_refused_as_by_the_router(receiver: Receiver) -> None:
    """Size, type and signature."""
    async with serving(receiver, alone=True) as client:
        large = await client.post(PATH, json="x" * MAX_EVENT_BYTES)
        assert (large.status_code, large.json()) == (413, {"error": "too_large"})
        assert (await client.post(PATH, content=b"{}")).status_code == 415
        assert (await client.post(PATH, json={})).json() == {"error": "missing_header"}


async def test_everything_else_is_not_there(receiver: Receiver) -> None:
    """Another path, another method: and the server goes on."""
    async with serving(receiver, alone=True) as client:
        for path in ("/", f"{PATH}/", "/openapi.json"):
            assert (await client.post(path, json={})).status_code == 404
        answer = await client.get(PATH)
        assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "POST", b"")
        assert answer.headers["connection"] == "close"
        assert (await client.post(PATH, json={})).status_code == 400


async def test_path_follows_the_callback_url(tmp_path: Path, key: PrivateKey) -> None:
    """The URL's own, decoded; query and proxy's path as with the router."""
    url = "https://portal.example/a%20b?tenant=7"
    receiver = Receiver(url, str(key.public()), store=f"sqlite:///{tmp_path}/x.db")
    headers, body = signed(make_event("req_1", "run_1", url=url), key)
    async with serving(receiver, alone=True) as client:
        assert (await client.post("/a%20b?tenant=7", headers=headers, content=body)).status_code == 202


async def test_receiver_is_open_as_long_as_the_server_runs(receiver: Receiver, key: PrivateKey) -> None:
    """And can be served again."""
    headers, body = signed(make_event("req_1", "run_1"), key)
    for status in (202, 204):  # the second time it is known
        async with serving(receiver, alone=True) as client:
            assert (await client.post(PATH, headers=headers, content=body)).status_code == status
        with pytest.raises(ReceiverNotOpen):
            await receiver.handle(headers, body)


async def test_server_is_told_why_it_cannot_start(tmp_path: Path, key: PrivateKey) -> None:
    """uvicorn logs that, and ends."""
    receiver = Receiver(URL, str(key.public()), store=f"sqlite:///{tmp_path}/not/there.db")
    sent = await talk(receiver, {"type": "lifespan"}, {"type": "lifespan.startup"})
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "SQLite store" in sent[0]["message"]


async def test_server_is_told_that_closing_failed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that is not ours has its traceback in the log."""

    async def fail(*arguments: object) -> None:
        await closed(*arguments)
        raise AssertionError

    closed = receiver.__aexit__
    monkeypatch.setattr(receiver, "__aexit__", fail)
    sent = await talk(receiver, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    assert sent == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.failed", "message": "AssertionError: "},
    ]
    ours = [record for record in caplog.records if record.name == "ringback_receiver"]
    assert [record.exc_info is not None for record in ours] == [True]


@pytest.mark.parametrize("path", [PATH, f"/behind{PATH}"])
async def test_path_may_have_what_a_proxy_took_away_in_front_again(receiver: Receiver, path: str) -> None:
    """As uvicorn's ``--root-path`` and a mounting application put it there."""
    scope = {"type": "http", "http_version": "2", "method": "GET", "root_path": "/behind", "headers": []}
    for asked, status in ((path, 405), (f"/else{path}", 404)):
        sent = await talk(receiver, {**scope, "path": asked})
        assert sent[0]["status"] == status
        assert b"connection" not in dict(sent[0]["headers"])


async def test_what_asgi_may_have_some_day_is_an_error(receiver: Receiver) -> None:
    """The specification wants it so."""
    with pytest.raises(NotImplementedError, match="webtransport"):
        await talk(receiver, {"type": "webtransport"})


async def test_websocket_is_closed_before_it_is_accepted(receiver: Receiver) -> None:
    """There is nothing to talk about."""
    sent = await talk(receiver, {"type": "websocket", "path": PATH}, {"type": "websocket.connect"})
    assert sent == [{"type": "websocket.close"}]


async def talk(receiver: Receiver, scope: dict[str, Any], *messages: dict[str, Any]) -> list[Any]:
    """Return what the application sends when a server hands it these."""
    sent: list[Any] = []
    handed = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(handed)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await receiver.asgi(scope, receive, send)
    return sent
