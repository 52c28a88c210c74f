"""Connections that are few, that are lost, and that the server has no room for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from ringback_receiver import _postgres_lines
from ringback_receiver._postgres_connect import Connection, connect
from ringback_receiver._postgres_lines import Lines
from ringback_receiver._postgres_url import parse_place

pytestmark = pytest.mark.anyio

Refusal = Callable[[float], Any]


class Server:
    """Connects for real, but for what it is told to do first."""

    def __init__(self) -> None:
        self.first: list[Refusal] = []
        self.asked = 0

    async def connect(self, place: Any, *, patience: float, seconds: float) -> Connection:
        self.asked += 1
        if self.first:
            await self.first.pop(0)(seconds)
        return await connect(place, patience=patience, seconds=seconds)


async def full(seconds: float) -> None:
    raise asyncpg.TooManyConnectionsError("too many connections for role")


async def nothing(seconds: float) -> None:
    """Let it connect."""


async def mute(seconds: float) -> None:
    await asyncio.sleep(seconds)
    raise asyncio.TimeoutError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(_postgres_lines, "connect", server.connect)
    return server


@pytest.fixture
async def lines(server: Server, postgres_url: str) -> AsyncIterator[Lines]:
    lines = Lines(parse_place(postgres_url), most=2, patience=10.0)
    await lines.open()
    yield lines
    await lines.close()
    assert lines._idle.empty()


async def used(connection: Connection) -> Connection:
    await connection.fetch("SELECT 1")
    return connection


def busy(seconds: float) -> Callable[[Connection], Any]:
    async def work(connection: Connection) -> Connection:
        await asyncio.sleep(seconds)
        return await used(connection)

    return work


async def both(lines: Lines) -> list[Connection]:
    """Have both connections opened."""
    found = await asyncio.gather(*(lines.run(busy(0.3)) for _ in range(2)))
    assert found[0] is not found[1]
    return found


async def test_closed_connection_hides_none_that_lives(lines: Lines, server: Server) -> None:
    """Nothing new is asked for as long as one is there."""
    one, other = await both(lines)
    for closed, left in ((one, other), (other, None)):
        closed.terminate()
        asked = server.asked
        found = await lines.run(used)
        assert (found is left, server.asked - asked) == ((True, 0) if left else (False, 1))


async def test_two_that_are_lost_together_share_what_there_is_room_for(lines: Lines, server: Server) -> None:
    """Neither fails because the other was first."""
    await both(lines)
    lost = dict.fromkeys(range(2), True)

    def losing(number: int) -> Callable[[Connection], Any]:
        async def work(connection: Connection) -> Connection:
            await asyncio.sleep(0.1)
            if lost.pop(number, False):
                raise asyncpg.ConnectionDoesNotExistError("gone")
            return await used(connection)

        return work

    server.first = [nothing, full, full, full]
    found = await asyncio.gather(*(lines.run(losing(number), again=True) for number in range(2)))
    assert found[0] is found[1]


async def test_connect_that_hangs_keeps_nobody_from_what_is_there(lines: Lines, server: Server) -> None:
    """Half of what somebody waits for at most, and then he has the one that became free meanwhile."""
    server.first = [mute]
    began = time.monotonic()
    first, second = await asyncio.gather(lines.run(busy(0.2)), lines.run(used))
    assert first is second
    assert time.monotonic() - began < 5


async def test_room_that_is_there_again_is_used(lines: Lines, server: Server) -> None:
    """Whoever waits asks again, also while all that there are stay busy."""
    server.first = [full]
    slow = asyncio.ensure_future(lines.run(busy(5.0)))
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(lines.run(used), 4) is not None
    assert not slow.done()
    await slow
    assert server.asked == 3


async def test_server_without_any_room_is_asked_until_it_has_some(lines: Lines, server: Server) -> None:
    """Within the patience: what we closed ourselves may still count there."""
    connection = await lines.run(used)
    connection.terminate()
    server.first = [full, full, full]
    assert await lines.run(used) is not connection


async def test_error_of_a_server_that_never_has_room_says_so(server: Server, postgres_url: str) -> None:
    """And not only that it took too long."""
    lines = Lines(parse_place(postgres_url), most=2, patience=1.0)
    await lines.open()
    (await lines.run(used)).terminate()
    server.first = [full] * 100
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await lines.run(used)
    server.first = []
    await asyncio.sleep(0.2)
    assert await lines.run(used) is not None
    await lines.close()


async def test_line_that_comes_too_late_is_not_cut(server: Server, postgres_url: str) -> None:
    """Whoever has no time left leaves it to the next."""
    lines = Lines(parse_place(postgres_url), most=1, patience=2.0)
    await lines.open()
    busy_one = asyncio.ensure_future(lines.run(busy(1.95)))
    await asyncio.sleep(0.01)
    with pytest.raises(asyncio.TimeoutError):
        await lines.run(busy(0.5))
    connection = await busy_one
    assert await lines.run(used) is connection
    await lines.close()
