"""Writing down what became of events: whatever has ended in the meantime goes into one transaction."""

from __future__ import annotations

import asyncio
import logging
import time

from ringback_notifier.errors import OutboxError, OutboxUnavailable
from ringback_notifier.outbox import Outbox
from ringback_notifier.outbox._rows import Settlement
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._loop import Wake
from ringback_notifier.relay._tally import Tally

__all__ = ["Settling"]

log = logging.getLogger(__name__)

_AT_ONCE = 500


class Settling:
    """The one writer of settlements.

    :param owner: the name of this relay.
    """

    def __init__(self, *, database: Database, owner: str, tally: Tally) -> None:
        self._database = database
        self._owner = owner
        self._tally = tally
        self._pending: list[Settlement] = []
        self._ended = asyncio.Event()
        self._ended.set()
        self.wake = Wake()

    @property
    def pending(self) -> int:
        """How many settlements are not written yet."""
        return len(self._pending)

    def add(self, settlement: Settlement) -> None:
        """Have a settlement written."""
        self._pending.append(settlement)
        self._ended.clear()
        self.wake.set()

    async def step(self) -> None:
        """Write what is pending, or wait for something.

        :raises OutboxUnavailable: if it cannot be written now; it stays pending.
        """
        if not self._pending:
            await self.wake.wait(3_600.0)
            return
        batch = self._pending[:_AT_ONCE]
        try:
            await self._write(batch)
        except OutboxUnavailable:
            raise
        except OutboxError:
            for settlement in batch:  # one of them must not hold up the others
                await self._write_alone(settlement)
        del self._pending[: len(batch)]
        if not self._pending:
            self._ended.set()

    async def finish(self, seconds: float) -> None:
        """Wait until everything is written, or for so many seconds."""
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except asyncio.TimeoutError:
            log.warning(
                "ringback relay: what became of %d events could not be written down; they will be sent once more",
                len(self._pending),
            )

    async def _write(self, batch: list[Settlement]) -> None:
        await self._database.call(Outbox.settle, self._owner, batch, now=time.time())
        for settlement in batch:
            self._count(settlement)

    async def _write_alone(self, settlement: Settlement) -> None:
        try:
            await self._write([settlement])
        except OutboxUnavailable:
            raise
        except OutboxError as error:
            log.error("ringback relay: event %s: %s", settlement.event_id, error)

    def _count(self, settlement: Settlement) -> None:
        if settlement.status == "delivered":
            self._tally.delivered += 1
        elif settlement.status == "gone":
            self._tally.gone += 1
        elif settlement.status == "refused":
            self._tally.refused += 1
        else:
            self._tally.failed += 1
            self._tally.dead += settlement.status == "dead"
