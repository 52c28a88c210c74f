"""Concurrent requests share one commit: a writer takes everything that has queued up, and nobody lingers for company.

What arrives during one commit is the next batch, so the busier it is, the larger the batches are.  An item that a
store refuses must not fail those that it happens to share a batch with: the batch is halved until it stands alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

__all__ = ["MAX_BATCH", "GroupCommit"]

log = logging.getLogger("ringback_receiver")

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MAX_BATCH = 256
"""Items in one commit; more would make the first wait too long, and hold a server's locks for as long."""


class GroupCommit(Generic[Item, Outcome]):
    """Collect items, and write them batch by batch.

    :param write: makes a batch durable, all of it or nothing, and returns an outcome for each item.
    :param is_poison: whether an error of ``write`` may be the fault of one of the items.
    :param written: is told of each batch that is durable, also of items that nobody waits for any more.
    :param failure: turns an error of ``write`` into what whoever waits shall see.
    :param most: items in a batch.
    :param writers: batches under way at once.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
        *,
        is_poison: Callable[[Exception], bool],
        written: Callable[[Sequence[Item], Sequence[Outcome]], None],
        failure: Callable[[Exception], Exception] = lambda error: error,
        most: int = MAX_BATCH,
        writers: int = 1,
    ) -> None:
        self._write = write
        self._is_poison = is_poison
        self._written = written
        self._failure = failure
        self._most = most
        self._most_writers = writers
        self._queue: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._writers: set[asyncio.Task[None]] = set()
        self._in_hand = 0

    def __len__(self) -> int:
        """Return how many items are queued or just being written, whether or not somebody waits for them."""
        return len(self._queue) + self._in_hand

    def submit(self, item: Item) -> asyncio.Future[Outcome]:
        """Queue an item; the future has its outcome once that is durable.

        Whoever waits may give up: the item is written all the same.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if len(self._writers) < self._most_writers:
            # In a context of its own: it also works for those who come after whoever is first.
            writer = Context().run(asyncio.create_task, self._drain(), name="ringback-group-commit")
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)  # of one that is cancelled before it begins
        return future

    async def finish(self) -> None:
        """Wait until everything that is queued is written."""
        while self._writers:
            await asyncio.wait(self._writers)

    async def _drain(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        writer = asyncio.current_task()
        assert writer is not None
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
                self._in_hand += len(batch)
                try:
                    await self._settle(batch)
                finally:
                    self._in_hand -= len(batch)
        except asyncio.CancelledError:  # the event loop ends
            for _, future in (*batch, *self._queue):
                future.cancel()
            self._queue.clear()
            raise
        finally:
            self._writers.discard(writer)

    async def _settle(self, batch: Sequence[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        items = [item for item, _ in batch]
        try:
            outcomes = await self._write(items)
        except Exception as error:
            if len(batch) > 1 and self._is_poison(error):
                half = len(batch) // 2
                await self._settle(batch[:half])
                await self._settle(batch[half:])
                return
            failure = self._failure(error)
            for _, future in batch:
                if not future.done():
                    future.set_exception(failure)
        else:
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():  # whoever waited is gone
                    future.set_result(outcome)
            try:
                self._written(items, outcomes)
            except Exception:  # what is written is written, and the next batch is not to suffer
                log.exception("what follows a commit failed")
