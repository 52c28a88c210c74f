"""A store that stalls, and more events than may wait for it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ringing import URL, make_event, said, signed

from ringback_protocol import PrivateKey
from ringback_receiver import Answer, Receiver
from ringback_receiver._bodies import Bodies
from ringback_receiver._preconditions import Refused

pytestmark = pytest.mark.anyio

PLACES = 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ringback.db"


@pytest.fixture
def receiver(path: Path, key: PrivateKey) -> Receiver:
    return Receiver(URL, str(key.public()), store=f"sqlite:///{path}", max_waiting=PLACES)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file, as another process may."""
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def delivery(number: int, key: PrivateKey) -> tuple[dict[str, str], bytes]:
    return signed(make_event(f"req_{number}", f"run_{number}"), key)


def outcome(answer: Answer) -> tuple[int, str, str | None]:
    return answer.status, answer.outcome, answer.headers.get("retry-after")


async def taken(receiver: Receiver, number: int, key: PrivateKey) -> Answer:
    """Deliver, and come back as long as one is told to, only sooner."""
    for _ in range(500):
        answer = await receiver.handle(*delivery(number, key))
        if answer.status != 503:
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError("never taken")


async def test_no_more_wait_than_there_are_places(opened: Receiver, path: Path, key: PrivateKey) -> None:
    """The rest is told at once to come back, and is taken when it does; nothing that was answered 2xx is lost."""
    with locked(path):
        waiting = [asyncio.create_task(opened.handle(*delivery(n, key))) for n in range(PLACES)]
        await asyncio.sleep(0.1)
        refused = [await opened.handle(*delivery(n, key)) for n in range(PLACES, 20)]
        assert not any(task.done() for task in waiting)
    assert {outcome(answer) for answer in refused} == {(503, "busy", "5")}
    assert {outcome(answer) for answer in await asyncio.gather(*waiting)} == {(202, "parked", None)}
    for number in range(PLACES, 20):
        assert (await opened.handle(*delivery(number, key))).status == 202
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (20,)


async def test_place_is_taken_until_the_store_lets_go(opened: Receiver, path: Path, key: PrivateKey) -> None:
    """Senders that hang up, where a framework then cancels, free nothing that the store still holds."""
    with locked(path):
        waiting = [asyncio.create_task(opened.handle(*delivery(n, key))) for n in range(PLACES)]
        await asyncio.sleep(0.1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert all(task.cancelled() for task in waiting)
        assert said((await opened.handle(*delivery(9, key))).body) == {"error": "busy"}
    assert [(await taken(opened, n, key)).outcome for n in range(PLACES)] == ["duplicate"] * PLACES


async def test_strangers_cannot_fill_the_places(opened: Receiver, path: Path, key: PrivateKey) -> None:
    """What is not verified never waits for the store."""
    with locked(path):
        stranger = PrivateKey.generate()
        answers = await asyncio.gather(*(opened.handle(*delivery(n, stranger)) for n in range(50)))
        assert {answer.status for answer in answers} == {401}
        honest = asyncio.create_task(opened.handle(*delivery(99, key)))
        await asyncio.sleep(0.1)
    assert (await honest).status == 202


async def test_log_is_not_filled_by_a_store_that_is_away(
    receiver: Receiver, path: Path, key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    """One error names the first event, and closing says how many there were."""
    caplog.set_level(logging.INFO, "ringback_receiver")
    async with receiver:
        with locked(path):
            waiting = [asyncio.create_task(receiver.handle(*delivery(n, key))) for n in range(PLACES)]
            await asyncio.sleep(0.1)
            for number in range(10, 20):
                await receiver.handle(*delivery(number, key))
        await asyncio.gather(*waiting)
    first = make_event("req_10", "run_10").id
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"event {first} of run run_10 of DAG sales: not recorded: 3 events wait for the store already",
        "requests refused: busy: 9 more since the last such line",
    ]


async def test_closing_answers_those_who_wait(receiver: Receiver, path: Path, key: PrivateKey) -> None:
    """What the store still holds is recorded before it closes, and told so."""
    await receiver.__aenter__()
    with locked(path):
        waiting = [asyncio.create_task(receiver.handle(*delivery(n, key))) for n in range(PLACES)]
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(receiver.__aexit__(None, None, None))
        await asyncio.sleep(0.1)
    await closing
    assert {outcome(answer) for answer in await asyncio.gather(*waiting)} == {(202, "parked", None)}


async def test_slow_bodies_do_not_silence_a_stalled_store(
    receiver: Receiver, path: Path, key: PrivateKey, caplog: pytest.LogCaptureFixture
) -> None:
    """What gives way to the newest body is another matter, and a stranger's to cause."""
    bodies = Bodies(most=1, seconds=60)

    async def never() -> dict[str, Any]:
        await asyncio.sleep(3_600)
        raise AssertionError

    async def dawdle() -> None:
        try:
            await bodies.read(never)
        except Refused as refused:
            receiver.refuse(refused.status, refused.reason)

    async with receiver:
        dawdlers = [asyncio.create_task(dawdle()) for _ in range(3)]
        await asyncio.wait(dawdlers, timeout=0.1)
        with locked(path):
            waiting = [asyncio.create_task(receiver.handle(*delivery(n, key))) for n in range(PLACES)]
            await asyncio.sleep(0.1)
            await receiver.handle(*delivery(9, key))
        await asyncio.gather(*waiting)
        for dawdler in dawdlers:
            dawdler.cancel()
        await asyncio.gather(*dawdlers, return_exceptions=True)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.endswith("events wait for the store already") for line in errors] == [True]
    assert "request refused: too_many_bodies" in caplog.text
