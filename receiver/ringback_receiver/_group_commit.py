"""Concurrent requests share one commit: one writer takes everything that has queued up, and nobody lingers for company.

What arrives during one commit is the next batch, so the busier it is, the larger the batches are.  An item that a
store refuses must not fail those that it happens to share a batch with: the batch is halved until it stands alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["MAX_BATCH", "GroupCommit"]

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MAX_BATCH = 256
"""Items in one commit; more would make the first wait too long, and hold a server's locks for as long."""


class GroupCommit(Generic[Item, Outcome]):
    """Collect items, and write them batch by batch.

    :param write: makes a batch durable, all of it or nothing, and returns an outcome for each item.
    :param is_poison: whether an error of ``write`` may be the fault of one of the items.
    :param most: items in a batch.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome]]],
        *,
        is_poison: Callable[[Exception], bool],
        most: int = MAX_BATCH,
    ) -> None:
        self._write = write
        self._is_poison = is_poison
        self._most = most
        self._queue: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.committed: Callable[[int], None] = lambda items: None
        """Told of every commit, and how many items shared it."""

    def submit(self, item: Item) -> asyncio.Future[Outcome]:
        """Queue an item; the future has its outcome once that is durable.

        Whoever waits may give up: the item is written all the same.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._drain(), name="ringback-group-commit")
        return future

    async def finish(self) -> None:
        """Wait until everything that is queued is written."""
        while self._writer is not None:
            await asyncio.wait([self._writer])

    async def _drain(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Outcome]]] = []
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
                await self._settle(batch)
        except asyncio.CancelledError:  # the event loop ends
            for _, future in (*batch, *self._queue):
                future.cancel()
            self._queue.clear()
            raise
        finally:
            self._writer = None

    async def _settle(self, batch: Sequence[tuple[Item, asyncio.Future[Outcome]]]) -> None:
        try:
            outcomes = await self._write([item for item, _ in batch])
        except Exception as error:
            if len(batch) > 1 and self._is_poison(error):
                half = len(batch) // 2
                await self._settle(batch[:half])
                await self._settle(batch[half:])
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            self.committed(len(batch))
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if not future.done():  # whoever waited is gone
                    future.set_result(outcome)
