"""How concurrent items share a commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import ContextVar

import pytest

from ringback_receiver._group_commit import GroupCommit

pytestmark = pytest.mark.anyio


class Ledger:
    """Writes a batch in a moment, all or nothing, and refuses what is negative."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.away = False
        self.noted: list[tuple[int, int]] = []

    def note(self, items: Sequence[int], outcomes: Sequence[int]) -> None:
        self.noted += zip(items, outcomes, strict=True)

    async def write(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        await asyncio.sleep(0.01)
        if self.away:
            raise ConnectionError("away")
        if min(items) < 0:
            raise ValueError(f"{min(items)} is negative")
        return [item * 10 for item in items]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def commits(ledger: Ledger, *, most: int = 256, writers: int = 1) -> GroupCommit[int, int]:
    return GroupCommit(
        ledger.write,
        is_poison=lambda error: isinstance(error, ValueError),
        written=ledger.note,
        most=most,
        writers=writers,
    )


async def test_what_arrives_during_a_commit_is_the_next_batch(ledger: Ledger) -> None:
    """The first goes at once, alone; everything that came meanwhile goes together."""
    group = commits(ledger)
    first = group.submit(0)
    await ledger.begun.wait()
    rest = [group.submit(item) for item in range(1, 50)]
    assert await asyncio.gather(first, *rest) == [item * 10 for item in range(50)]
    assert ledger.batches == [[0], list(range(1, 50))]


async def test_batch_is_bounded(ledger: Ledger) -> None:
    """Nobody waits for more than so many others."""
    group = commits(ledger, most=20)
    await asyncio.gather(*map(group.submit, range(50)))
    assert [len(batch) for batch in ledger.batches] == [20, 20, 10]


async def test_second_writer_goes_ahead_meanwhile(ledger: Ledger) -> None:
    """What arrives during one commit is written during it, and what arrives during two waits for the first to end."""
    group = commits(ledger, writers=2)
    items = []
    for item in range(4):
        items.append(group.submit(item))
        await asyncio.sleep(0)  # so that it is taken, if somebody is there to take it
    assert ledger.batches == [[0], [1]]
    assert len(group) == 4
    await group.finish()
    assert [future.result() for future in items] == [0, 10, 20, 30]
    assert ledger.batches == [[0], [1], [2, 3]]
    assert len(group) == 0


async def test_writer_that_never_began_is_no_writer(ledger: Ledger) -> None:
    """Nobody waits for it, and the next item has another."""
    group = commits(ledger)
    group.submit(1)
    for task in asyncio.all_tasks():
        if task.get_name() == "ringback-group-commit":
            task.cancel()
    await asyncio.wait_for(group.finish(), 5)
    assert await asyncio.wait_for(group.submit(2), 5) == 20


async def test_whoever_waits_sees_the_error_that_was_made_of_it(ledger: Ledger) -> None:
    """And nothing of the one that it was made of."""
    group = GroupCommit[int, int](
        ledger.write, is_poison=lambda error: False, failure=lambda error: OSError("no"), written=ledger.note
    )
    ledger.away = True
    with pytest.raises(OSError, match="no") as caught:
        await group.submit(1)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


async def test_poison_fails_alone(ledger: Ledger) -> None:
    """Its batch is halved until it stands alone; everything else is written once, in its order."""
    group = commits(ledger)
    outcomes = await asyncio.gather(*map(group.submit, (1, 2, -3, 4, -5, 6, 7)), return_exceptions=True)
    assert [outcome if isinstance(outcome, int) else type(outcome) for outcome in outcomes] == [
        10,
        20,
        ValueError,
        40,
        ValueError,
        60,
        70,
    ]
    written = [item for batch in ledger.batches if min(batch) >= 0 for item in batch]
    assert written == [1, 2, 4, 6, 7]
    assert ledger.noted == [(item, item * 10) for item in written]


async def test_store_that_is_away_is_not_asked_again_for_each(ledger: Ledger) -> None:
    """When nobody in the batch is to blame, all of it fails at once, and the next batch is tried."""
    group = commits(ledger)
    ledger.away = True
    outcomes = await asyncio.gather(*map(group.submit, range(9)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 9
    assert len(ledger.batches) == 1
    ledger.away = False
    assert await group.submit(1) == 10


async def test_whoever_gives_up_has_his_item_written(ledger: Ledger) -> None:
    """A client that disconnects takes nothing with it, keeps its place until then, and disturbs nobody."""
    group = commits(ledger)
    waiting = [asyncio.ensure_future(group.submit(item)) for item in range(5)]
    await ledger.begun.wait()
    waiting[2].cancel()
    assert len(group) == 5
    await group.finish()
    assert len(group) == 0
    assert ledger.noted == [(item, item * 10) for item in range(5)]
    assert ledger.batches == [[0, 1, 2, 3, 4]]
    assert [future.result() for future in waiting if not future.cancelled()] == [0, 10, 30, 40]


async def test_what_follows_a_commit_may_fail(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits has his answer, the next batch is written, and the log says what happened."""

    def fail(items: Sequence[int], outcomes: Sequence[int]) -> None:
        raise RuntimeError("somebody's observer")

    group = GroupCommit[int, int](ledger.write, is_poison=lambda error: False, written=fail)
    assert await asyncio.wait_for(asyncio.gather(group.submit(1), group.submit(2)), 5) == [10, 20]
    assert await asyncio.wait_for(group.submit(3), 5) == 30
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


async def test_writer_belongs_to_no_request(ledger: Ledger) -> None:
    """It also writes for those who come after whoever is first, so it has nothing of his context."""
    whose = ContextVar("whose", default="nobody's")
    seen: list[str] = []
    group = GroupCommit[int, int](
        ledger.write, is_poison=lambda error: False, written=lambda items, outcomes: seen.append(whose.get())
    )
    whose.set("the first one's")
    await group.submit(1)
    assert seen == ["nobody's"]
