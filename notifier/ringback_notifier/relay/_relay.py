"""The relay: confirms hints, sweeps for what nobody reported, and delivers, until it has to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

import anyio

from ringback_notifier import _metrics
from ringback_notifier._destination import Destination
from ringback_notifier._report import Site
from ringback_notifier.errors import NotifierError
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._attempting import Attempting
from ringback_notifier.relay._breaker import Breaker
from ringback_notifier.relay._confirm import Confirm
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._deliver import Deliver
from ringback_notifier.relay._depths import DEPTHS, Depths
from ringback_notifier.relay._destinations import Destinations
from ringback_notifier.relay._housekeeping import HEARTBEATS, Heartbeat, Purge
from ringback_notifier.relay._loop import keep_doing
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._sender import Sender
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._settling import Settling
from ringback_notifier.relay._sweep import DUTY, Sweep
from ringback_notifier.relay._tally import DrainReport, Tally
from ringback_notifier.relay._watching import Watching

__all__ = ["DrainReport", "Relay"]

log = logging.getLogger(__name__)

_Step = Callable[[], Awaitable[None]]

_LAST_WORDS = 2.0
"""Seconds for each of the last things to do: writing down, releasing, closing."""


class Relay:
    """One relay; any number of them may share an outbox.

    :param outbox: open; it stays so.
    :param runs: Airflow's REST API, or ``None`` to deliver only.
    :param destinations: gives a destination by its name; raises :class:`~ringback_notifier.errors.DestinationError`.
    :param owner: a name that no other relay has at the same time; made up if not given.
    :param kind: which shell it runs in, for the heartbeat.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        runs: RunsApi | None,
        destinations: Callable[[str], Awaitable[Destination]],
        site: Site,
        settings: RelaySettings | None = None,
        owner: str | None = None,
        kind: str = "process",
    ) -> None:
        self._outbox = outbox
        self._runs = runs
        self._look_up = destinations
        self._site = site
        self._settings = settings or RelaySettings()
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._kind = kind

    async def drain(self, for_seconds: float | None, *, stop: asyncio.Event | None = None) -> DrainReport:
        """Do everything that a relay does, for a while.

        An outage of Airflow, of the outbox or of a receiver ends nothing: the relay tries on, ever more slowly.
        When it stops or is cancelled, attempts in flight get a few seconds to end, and all the rest is released.

        :param for_seconds: ``None`` for ever.
        :param stop: ends it early.
        """
        drain = _Drain(self)
        try:
            drain.start()
            await _wait_for(stop, for_seconds)
        finally:
            # Also when cancelled, by a scope of anyio or by asyncio, and even if that comes twice.
            with anyio.CancelScope(shield=True):
                await asyncio.shield(asyncio.create_task(drain.end()))
        return drain.tally.report()


class _Drain:
    """What exists while a relay drains."""

    def __init__(self, relay: Relay) -> None:
        settings, owner = relay._settings, relay._owner
        self.tally = Tally()
        self._settings = settings
        self._owner = owner
        self._runs = relay._runs
        self._database = database = Database(relay._outbox)
        self._destinations = Destinations(relay._look_up)
        self._sender = Sender(timeout=settings.attempt_timeout)
        self._settling = Settling(database=database, owner=owner, tally=self.tally)
        self._deliver = Deliver(
            database=database,
            attempting=Attempting(destinations=self._destinations, sender=self._sender),
            sender=self._sender,
            settling=self._settling,
            breaker=Breaker(),
            settings=settings,
            owner=owner,
            tally=self.tally,
        )
        self._heartbeat = Heartbeat(
            database=database, settings=settings, owner=owner, kind=relay._kind, tally=self.tally
        )
        depths = Depths(database=database, owner=owner)
        purge = Purge(database=database, settings=settings, owner=owner)
        self._loops: list[tuple[str, _Step, _Step | None]] = [
            ("delivering", self._deliver.step, None),
            ("the heartbeat", self._heartbeat.step, self._heartbeat.rest),
            ("purging", purge.step, purge.rest),
            ("measuring the outbox", depths.step, depths.rest),
        ]
        self._on_change = [self._deliver.changed]
        self._confirm: Confirm | None = None
        if relay._runs is not None:
            self._confirm = confirm = Confirm(
                database=database,
                runs=relay._runs,
                site=relay._site,
                settings=settings,
                tally=self.tally,
                enqueued=self._deliver.wake.set,
            )
            sweep = Sweep(
                database=database,
                runs=relay._runs,
                site=relay._site,
                settings=settings,
                owner=owner,
                tally=self.tally,
                enqueued=self._deliver.wake.set,
            )
            self._loops += [("hints", confirm.step, None), ("sweeping", sweep.step, sweep.rest)]
            self._on_change.append(confirm.wake.set)
        self._watching = Watching(relay._outbox, self._wake)
        self._tasks: list[asyncio.Task[None]] = []
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(keep_doing(step, what=what, tally=self.tally, rest=rest))
            for what, step, rest in self._loops
        ]
        self._writer = asyncio.create_task(
            keep_doing(self._settling.step, what="writing down what was delivered", tally=self.tally)
        )
        self._watching.start()

    async def end(self) -> None:
        """End in order; every part has a bound of its own."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliver.land(self._settings.farewell)
        await self._settling.finish(_LAST_WORDS)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._in_time(self._leave_the_outbox())
        await self._in_time(self._close())
        await self._watching.stop(_LAST_WORDS)
        self._database.close()
        await _metrics.aflush()

    async def _leave_the_outbox(self) -> None:
        now = time.time()
        # Also what was leased by a call that was cancelled before it returned.
        await self._database.call(Outbox.release, self._owner, event_ids=None, due_at=now)
        if self._confirm is not None:
            await self._confirm.leave()
        await self._database.call(Outbox.leave_duty, DUTY, self._owner)
        await self._database.call(Outbox.leave_duty, DEPTHS, self._owner)
        await self._heartbeat.step()
        await self._database.call(Outbox.leave_duty, HEARTBEATS + self._owner, self._owner)

    async def _close(self) -> None:
        await self._sender.aclose()
        await self._destinations.aclose()
        if self._runs is not None:
            await self._runs.aclose()

    async def _in_time(self, last: Awaitable[None]) -> None:
        try:
            await asyncio.wait_for(last, _LAST_WORDS)
        except (NotifierError, asyncio.TimeoutError) as error:
            log.warning("ringback relay: while stopping: %s", error or type(error).__name__)

    def _wake(self) -> None:
        for changed in self._on_change:
            changed()


async def _wait_for(stop: asyncio.Event | None, seconds: float | None) -> None:
    event = stop or asyncio.Event()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
