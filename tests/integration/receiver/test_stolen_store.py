"""What a thief of the receiver's store gets."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import pytest
from ringing import URL, make_event

from ringback_protocol import Secret, encode_event, sign
from ringback_receiver import AsyncAirflowClient, Receiver

pytestmark = pytest.mark.anyio

NOW = 1_000
PASSWORD, TOKEN = "correct horse", "battery.staple.token"


def airflow(request: httpx.Request) -> httpx.Response:
    """Answer as Airflow does."""
    asked = json.loads(request.content)
    if request.url.path == "/auth/token":
        assert asked["password"] == PASSWORD
        return httpx.Response(201, json={"access_token": TOKEN})
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    return httpx.Response(200, json={**asked, "dag_id": "sales", "state": "queued"})


def taken_from(folder: Path) -> bytes:
    """Return all that is written in a folder's files."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_store_holds_no_secret(tmp_path: Path) -> None:
    """What was asked and told is there; the shared key, Airflow's password and its token are in none of the files."""
    key = Secret.generate()
    async with (
        AsyncAirflowClient(
            "https://airflow.example", username="portal", password=PASSWORD, transport=httpx.MockTransport(airflow)
        ) as client,
        Receiver(URL, key.reveal(), client, f"sqlite:///{tmp_path / 'ringback.db'}", clock=lambda: NOW) as receiver,
    ):
        handle = await receiver.trigger("sales", metadata={"customer": "somebody"})
        event = make_event(handle.request_id, handle.run_id, result={"rows": "four thousand"})
        body = encode_event(event)
        assert (await receiver.handle(sign(event.id, body, keys=[key], timestamp=NOW), body)).status == 204
        stolen = taken_from(tmp_path)
    assert all(text in stolen for text in (b"somebody", b"four thousand"))
    encoded = key.reveal().removeprefix("whsec_")
    assert not any(text in stolen for text in (encoded.encode(), base64.b64decode(encoded)))
    assert not any(text.encode() in stolen for text in (PASSWORD, TOKEN))
