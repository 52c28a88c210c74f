"""Signs of life, and forgetting what is old."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time

from ringback_notifier import _metrics
from ringback_notifier._metric_names import HEARTBEAT
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._tally import Tally

__all__ = ["HEARTBEATS", "PURGE", "Heartbeat", "Purge"]

HEARTBEATS = "relay/"
PURGE = "purge"
_PURGE_INTERVAL = 3_600.0
_PURGE_STEP = 500
_HELD = 60.0
_HEARTBEATS_KEPT = 3_600.0


class Heartbeat:
    """Tells, in the outbox, that this relay is alive and what it has done.

    :param owner: the name of this relay.
    :param kind: which shell it runs in.
    """

    def __init__(self, *, database: Database, settings: RelaySettings, owner: str, kind: str, tally: Tally) -> None:
        self._database = database
        self._interval = settings.heartbeat
        self._owner = owner
        self._kind = kind
        self._tally = tally
        self._since = time.time()

    async def step(self) -> None:
        """Give one sign of life.

        :raises OutboxError: if the outbox does not answer.
        """
        _metrics.count(HEARTBEAT)
        now = time.time()
        name = HEARTBEATS + self._owner
        value = {
            "kind": self._kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self._since,
            "counts": self._tally.counts(),
            "last_error": self._tally.last_error,
        }
        if await self._database.call(Outbox.take_duty, name, self._owner, now=now, until=now + 3 * self._interval):
            await self._database.call(Outbox.set_duty_value, name, self._owner, json.dumps(value))

    async def rest(self) -> None:
        """Wait for the next time."""
        await asyncio.sleep(self._interval)


class Purge:
    """Deletes, once an hour and in small steps, what was settled long ago; one relay does it for all."""

    def __init__(self, *, database: Database, settings: RelaySettings, owner: str) -> None:
        self._database = database
        self._settings = settings
        self._owner = owner

    async def step(self) -> None:
        """Purge if it is time and nobody else does.

        :raises OutboxError: if the outbox does not answer.
        """
        now = time.time()
        if await self._database.call(Outbox.take_duty, PURGE, self._owner, now=now, until=now + _HELD):
            if now - _read(await self._database.call(Outbox.duty_value, PURGE)) >= _PURGE_INTERVAL:
                await self._purge(now)
                await self._database.call(Outbox.set_duty_value, PURGE, self._owner, json.dumps({"at": now}))
            await self._database.call(Outbox.leave_duty, PURGE, self._owner)

    async def rest(self) -> None:
        """Wait for the next time."""
        await asyncio.sleep(_HELD)

    async def _purge(self, now: float) -> None:
        before = now - self._settings.retention
        while await self._database.call(Outbox.purge, before=before, limit=_PURGE_STEP):
            await asyncio.sleep(0.05)  # the others want the database, too
            moment = time.time()
            await self._database.call(Outbox.take_duty, PURGE, self._owner, now=moment, until=moment + _HELD)
        await self._database.call(Outbox.forget_duties, HEARTBEATS, before=now - _HEARTBEATS_KEPT)


def _read(value: str | None) -> float:
    try:
        at = json.loads(value or "null")["at"]
    except (ValueError, TypeError, KeyError):
        return 0.0
    return float(at) if isinstance(at, int | float) else 0.0
