"""How much lies in the outbox, for Airflow's metrics; one relay tells it for all."""

from __future__ import annotations

import asyncio
import time

from ringback_notifier import _metrics
from ringback_notifier._metric_names import DEPTH, OLDEST_DUE
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._database import Database

__all__ = ["DEPTHS", "Depths"]

DEPTHS = "depths"
_INTERVAL = 15.0
_MOST = 100_000
_SHARE = 50.0
"""A look that takes long is followed by a pause so many times as long."""


class Depths:
    """Looks at the outbox while Airflow's metrics are switched on.

    :param owner: the name of this relay.
    """

    def __init__(self, *, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._pause = _INTERVAL

    async def step(self) -> None:
        """Look, unless another relay does.

        :raises OutboxError: if the outbox does not answer.
        """
        if not _metrics.is_on():
            return
        now = time.time()
        # Held beyond the pause, or two relays would take turns.
        if not await self._database.call(Outbox.take_duty, DEPTHS, self._owner, now=now, until=now + 2 * self._pause):
            return
        started = time.monotonic()
        depths = await self._database.call(Outbox.depths, now=now, most=_MOST)
        self._pause = max(_INTERVAL, _SHARE * (time.monotonic() - started))
        for place, rows in depths.rows.items():
            _metrics.gauge(DEPTH[place], rows)
        _metrics.gauge(OLDEST_DUE, 0.0 if depths.oldest_due is None else now - depths.oldest_due)

    async def rest(self) -> None:
        """Wait for the next time."""
        await asyncio.sleep(self._pause)
