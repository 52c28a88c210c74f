"""Delivering what is due: leasing, sending, and giving back what cannot be sent now."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable

from ringback_notifier import _metrics
from ringback_notifier._metric_names import DEAD
from ringback_notifier.outbox import Outbox
from ringback_notifier.outbox._rows import Leased
from ringback_notifier.relay._attempting import Attempting, Landing
from ringback_notifier.relay._breaker import Breaker
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._lanes import Lanes
from ringback_notifier.relay._loop import Wake
from ringback_notifier.relay._schedule import WHOLE_SCHEDULE
from ringback_notifier.relay._sender import Sender
from ringback_notifier.relay._settings import RelaySettings
from ringback_notifier.relay._settling import Settling
from ringback_notifier.relay._tally import Tally

__all__ = ["Deliver"]

log = logging.getLogger(__name__)

_MOST_UNSETTLED = 2_000
_TIDY = 1.0
_BREATH = 0.05
"""Seconds between two looks at the outbox for the only reason that it has changed."""


class Deliver:
    """Delivers due events, many at a time.

    :param owner: the name of this relay.
    """

    def __init__(
        self,
        *,
        database: Database,
        attempting: Attempting,
        sender: Sender,
        settling: Settling,
        breaker: Breaker,
        settings: RelaySettings,
        owner: str,
        tally: Tally,
    ) -> None:
        self._database = database
        self._attempting = attempting
        self._sender = sender
        self._settling = settling
        self._breaker = breaker
        self._settings = settings
        self._owner = owner
        self._tally = tally
        self._lanes = Lanes(concurrency=settings.concurrency, host_concurrency=settings.host_concurrency)
        self._flights: set[asyncio.Task[Landing]] = set()
        self._given_back: list[tuple[float, list[str]]] = []
        self._lost: set[str] = set()
        self._more = False
        self._stopping = False
        self._tidied = 0.0
        self._leased_at = 0.0
        self.wake = Wake()

    async def step(self) -> None:
        """Lease and launch what is due, or wait for something.

        :raises OutboxError: if the outbox does not answer.
        """
        self._tidy()
        await self._give_back()
        wanted = self._lanes.wanted() if self._settling.pending < _MOST_UNSETTLED else 0
        shut = self._shut()
        if wanted and await self._lease(wanted, shut):
            return
        await self.wake.wait(await self._idle(shut) if wanted else self._settings.poll)

    def changed(self) -> None:
        """Look at the outbox again: somebody wrote to it, though that was this relay as a rule if it is busy."""
        soon = self._leased_at + _BREATH - time.monotonic()
        if soon <= 0 or not self._flights:
            self.wake.set()
        else:
            asyncio.get_running_loop().call_later(soon, self.wake.set)

    async def land(self, seconds: float) -> None:
        """Launch nothing more, and let what is in flight end, within so many seconds."""
        self._stopping = True
        if self._flights:
            _, late = await asyncio.wait(self._flights, timeout=seconds)
            for flight in late:
                flight.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _lease(self, wanted: int, shut: set[str]) -> bool:
        """Lease and launch; tell whether there may be more."""
        now = time.time()
        rows = await self._database.call(
            Outbox.lease,
            owner=self._owner,
            now=now,
            until=now + self._settings.lease,
            limit=wanted,
            not_hosts=shut,
        )
        clock = time.monotonic()
        late = [row for row in rows if self._state(row.host, clock) == "open"]  # it opened while they were leased
        for row in late:
            self._later([row], at=now + (self._breaker.reopens(row.host) or clock) - clock)
        probed = {
            # One probe spares a host that may be coming back.  One that has been down for long is sent some at a time,
            # or a day's 288 probes would be all that its events are ever tried.
            host: self._settings.host_concurrency if self._breaker.is_patient(host) else 1
            for host in {row.host for row in rows}
            if self._state(host, clock) == "half_open"
        }
        kept = [row for row in rows if row not in late] if late else rows
        surplus = self._lanes.add(kept, now=clock, probed=probed)
        for host in probed:
            self._breaker.started(host)
        self._later(surplus, at=now)
        await self._give_back()
        full = self._lanes.full()
        self._more = len(rows) == wanted or bool(full or shut)
        if shut & self._lanes.busy() - full:
            self.wake.set()  # a host that was left out has made room in the meantime
        self._leased_at = clock
        self._launch()
        return len(rows) == wanted

    def _launch(self) -> None:
        while not self._stopping and (row := self._lanes.take()) is not None:
            flight = asyncio.get_running_loop().create_task(self._attempting.attempt(row))
            self._flights.add(flight)
            flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[Landing]) -> None:
        self._flights.discard(flight)
        if flight.cancelled():
            return  # only at the very end, when everything that is left is released
        landing = flight.result()
        host, clock = landing.row.host, time.monotonic()
        self._lanes.landed(host, now=clock)
        if landing.settlement is not None:
            self._settling.add(landing.settlement)
        else:
            self._later([landing.row], at=landing.again_at)
        if landing.health == "up":
            self._breaker.succeeded(host)
        elif landing.health == "unknown":
            self._breaker.abandoned(host)
        elif self._breaker.failed(host, clock):
            self._open(host, clock)
        self._launch()
        if not self._flights or (self._more and not self._lanes.is_full(host) and self._lanes.wanted()):
            self.wake.set()

    def _open(self, host: str, clock: float) -> None:
        reopens = (self._breaker.reopens(host) or clock) - clock
        log.warning("ringback relay: %s does not take events; nothing is sent there for %.0f s", host, reopens)
        # A moment before it reopens, so that it can be one of these that is the probe.
        self._later(self._lanes.withdraw(host), at=time.time() + reopens - _BREATH)
        if self._breaker.down_for(host, clock) >= WHOLE_SCHEDULE:
            self._lost.add(host)
        self.wake.set()

    def _later(self, rows: Iterable[Leased], *, at: float) -> None:
        event_ids = [row.event_id for row in rows]
        if event_ids:
            self._given_back.append((at, event_ids))
            if at > time.time():
                self.wake.set()

    async def _give_back(self) -> None:
        """Release what is not sent, and give up what a host that was down for all the schedule's time has not taken."""
        stale = self._lanes.stale(before=time.monotonic() - self._settings.lease / 2)
        for host in {row.host for row in stale}:
            self._breaker.abandoned(host)
        self._later(stale, at=time.time())
        while self._given_back:
            at, event_ids = self._given_back[0]
            await self._database.call(Outbox.release, self._owner, event_ids=event_ids, due_at=at)
            del self._given_back[0]
        while self._lost:
            host = next(iter(self._lost))
            now = time.time()
            dead = await self._database.call(Outbox.expire, host, before=now - WHOLE_SCHEDULE, now=now)
            self._lost.discard(host)
            if dead:
                self._tally.dead += dead
                _metrics.count(DEAD, dead, sender="relay")
                log.error("ringback relay: %d events for %s are given up: it has been down for days", dead, host)

    def _shut(self) -> set[str]:
        clock = time.monotonic()
        busy = {host for host in self._lanes.busy() if self._state(host, clock) == "half_open"}
        return self._breaker.blocked(clock) | self._lanes.full() | busy

    async def _idle(self, shut: set[str]) -> float:
        """Return for how long there is nothing to lease, as far as can be known."""
        wait = self._settings.poll
        if not self._flights:  # otherwise it is soon enough to ask when they are over
            now = time.time()
            due = await self._database.call(Outbox.next_due, now=now, not_hosts=shut)
            if due is not None and due > now:
                wait = min(wait, due - now)
        clock = time.monotonic()
        probe = self._breaker.next_probe()
        if probe is not None and probe > clock:
            wait = min(wait, probe - clock)
        return wait

    def _tidy(self) -> None:
        clock = time.monotonic()
        if clock - self._tidied >= _TIDY:
            self._tidied = clock
            self._sender.tidy()

    def _state(self, host: str, clock: float) -> str:
        return self._breaker.state(host, clock)
