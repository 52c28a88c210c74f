"""How bodies are read: bounded in size and time each, in number together."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver._bodies import Bodies, Receive
from ringback_receiver._preconditions import Refused

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def sender(*chunks: bytes, more: bool = False, gone: bool = False) -> Receive:
    """Return what hands out these chunks, and then dawdles, hangs up, or is done."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if gone:
        messages.append({"type": "http.disconnect"})
    elif not more:
        messages[-1]["more_body"] = False

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.sleep(3600)
        return messages.pop(0)

    return receive


async def refusal(bodies: Bodies, receive: Receive) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        await bodies.read(receive)
    return caught.value.status, caught.value.reason


async def test_chunks_are_joined() -> None:
    """However the network has cut it, up to the last byte that is allowed."""
    bodies = Bodies(most=1, seconds=5)
    assert await bodies.read(sender(b"ab", b"", b"c")) == b"abc"
    assert len(await bodies.read(sender(b"x" * (MAX_EVENT_BYTES - 1), b"y"))) == MAX_EVENT_BYTES


async def test_one_byte_too_many_is_refused_as_soon_as_it_comes() -> None:
    """Nobody waits for the rest."""
    assert await refusal(Bodies(most=1, seconds=5), sender(b"x" * MAX_EVENT_BYTES, b"y", more=True)) == (
        413,
        "too_large",
    )


async def test_sender_that_hangs_up_is_incomplete() -> None:
    """Half an event is none."""
    assert await refusal(Bodies(most=1, seconds=5), sender(b"{", gone=True)) == (400, "incomplete")


async def test_body_that_dawdles_is_refused() -> None:
    """The time is for the whole body, not for the next byte."""
    assert await refusal(Bodies(most=1, seconds=0.05), sender(b"{", more=True)) == (408, "too_slow")


async def test_longest_on_its_way_gives_way_to_the_newest() -> None:
    """Those who dawdle, however many, keep nobody out."""
    bodies = Bodies(most=3, seconds=60)
    dawdlers = [asyncio.create_task(refusal(bodies, sender(b"{", more=True))) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert await bodies.read(sender(b"{}")) == b"{}"
    await asyncio.sleep(0.01)
    assert [dawdler.done() for dawdler in dawdlers] == [True, False, False]
    assert dawdlers[0].result() == (503, "too_many_bodies")
    assert await bodies.read(sender(b"{}")) == b"{}"
    await asyncio.sleep(0.01)
    assert [dawdler.done() for dawdler in dawdlers] == [True, False, False], "the place of the first was free"
    for dawdler in dawdlers[1:]:
        dawdler.cancel()
    await asyncio.gather(*dawdlers, return_exceptions=True)


async def test_server_that_swallows_a_cancellation_gains_no_time() -> None:
    """Its body is refused with whatever comes next, and nothing of the cancellation is left on the task."""
    taken: list[int] = []

    async def receive() -> dict[str, Any]:
        taken.append(1)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": b"x", "more_body": True}

    task = asyncio.current_task()
    assert task is not None
    assert await refusal(Bodies(most=1, seconds=0.05), receive) == (408, "too_slow")
    assert len(taken) == 1
    assert getattr(task, "cancelling", lambda: 0)() == 0


async def test_cancellation_from_outside_stays_one() -> None:
    """Whoever cancels the request, as a server that stops does, is not answered."""
    reading = asyncio.create_task(Bodies(most=1, seconds=60).read(sender(b"{", more=True)))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def test_bodies_of_a_loop_that_ended_are_nobodys() -> None:
    """Another event loop begins anew: it neither waits for them nor gives way to them."""
    bodies = Bodies(most=1, seconds=60)

    async def leave_one_behind() -> None:
        asyncio.get_running_loop().create_task(bodies.read(sender(b"{", more=True)))
        await asyncio.sleep(0.01)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_one_behind())
    assert asyncio.run(bodies.read(sender(b"{}"))) == b"{}"
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
