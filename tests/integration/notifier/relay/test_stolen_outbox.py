"""What a thief of the outbox gets."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from relay_world import KEY, World, drain_until

pytestmark = pytest.mark.anyio


async def test_the_outbox_holds_no_key(world: World, tmp_path: Path) -> None:
    """What was sent is there; the key that signed it, and the signature, are in none of the files."""
    receiver = world.receiver()
    world.enqueue(world.event(receiver.url, body=b'{"rows": "four thousand"}'))
    await drain_until(world.relay(), lambda: world.status(0) == "delivered")
    (request,) = receiver.requests
    signature = request.headers["webhook-signature"].removeprefix("v1a,").encode()
    stolen = taken_from(tmp_path / "outbox")
    assert b"four thousand" in stolen
    key = KEY.reveal().removeprefix("whsk_")
    assert not any(text in stolen for text in (key.encode(), base64.b64decode(key), signature))


def taken_from(folder: Path) -> bytes:
    """Return all that is written in a folder's files."""
    return b"".join(file.read_bytes() for file in folder.iterdir())
