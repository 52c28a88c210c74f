"""Which leased event is attempted next: lanes by host, so that a slow one does not hold up the others.  Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ringback_notifier.outbox._rows import Leased

__all__ = ["Lanes"]

_WINDOW = 0.1
_AHEAD = 0.5
_MOST_AHEAD = 500
_MOST_WAITING = 5_000


@dataclass(kw_only=True, slots=True)
class _Lane:
    waiting: deque[tuple[float, Leased]] = field(default_factory=deque)
    flying: int = 0
    queued: bool = False
    landed: int = 0
    since: float = 0.0
    rate: float = 0.0


class Lanes:
    """Leased events that wait, and how many are in flight; times are in seconds, on any one clock.

    Of one host's events no more are kept than it takes in half a second, measured: of a dead host's few, of
    a fast one's many.

    :param concurrency: events in flight at once.
    :param host_concurrency: of those, to one host.
    """

    def __init__(self, *, concurrency: int, host_concurrency: int) -> None:
        self._concurrency = concurrency
        self._host_concurrency = host_concurrency
        self._lanes: dict[str, _Lane] = {}
        self._ready: deque[str] = deque()
        self._flying = 0
        self._waiting = 0

    @property
    def flying(self) -> int:
        """How many events are in flight."""
        return self._flying

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    def wanted(self) -> int:
        """Return how many more events to lease; 0 while enough are waiting.

        What waits for hosts that are full does not count: events for other hosts may be due.
        """
        if self._waiting >= _MOST_WAITING:
            return 0
        open_lanes = [lane for host, lane in self._lanes.items() if not self.is_full(host)]
        waiting = sum(len(lane.waiting) for lane in open_lanes)
        ahead = sum(self._ahead(lane) for lane in open_lanes if lane.flying)
        target = min(max(ahead, self._concurrency), 2 * _MOST_AHEAD)
        return target - waiting if 2 * waiting <= target else 0

    def full(self) -> set[str]:
        """Return the hosts of which enough events are waiting."""
        return {host for host in self._lanes if self.is_full(host)}

    def is_full(self, host: str) -> bool:
        """Tell whether enough events of a host are waiting."""
        lane = self._lanes.get(host)
        return lane is not None and 2 * len(lane.waiting) > self._ahead(lane)

    def busy(self) -> set[str]:
        """Return the hosts of which anything waits or is in flight."""
        return {host for host, lane in self._lanes.items() if lane.waiting or lane.flying}

    def add(
        self, rows: Sequence[Leased], *, now: float, probed: Mapping[str, int] = MappingProxyType({})
    ) -> list[Leased]:
        """Take in leased events and return those that are too many.

        :param probed: hosts that may be sent so many events only: those with the fewest attempts, or the same ones
            would be the probes for days and others be never tried.
        """
        surplus: list[Leased] = []
        for row in sorted(rows, key=lambda row: row.attempts if row.host in probed else 0):
            lane = self._lanes.setdefault(row.host, _Lane())
            if not lane.flying and not lane.waiting:
                lane.landed, lane.since = 0, now
            most = probed.get(row.host, self._ahead(lane) + self._host_concurrency)
            if len(lane.waiting) + lane.flying >= most:
                surplus.append(row)
                continue
            lane.waiting.append((now, row))
            self._waiting += 1
            self._queue(row.host, lane)
        return surplus

    def take(self) -> Leased | None:
        """Return the event to attempt next, host by host in turn, or ``None`` if nothing may be sent now."""
        if self._flying >= self._concurrency or not self._ready:
            return None
        host = self._ready.popleft()
        lane = self._lanes[host]
        lane.queued = False
        _, row = lane.waiting.popleft()
        lane.flying += 1
        self._waiting -= 1
        self._flying += 1
        self._queue(host, lane)
        return row

    def landed(self, host: str, *, now: float) -> None:
        """Note that an attempt is over."""
        lane = self._lanes[host]
        lane.flying -= 1
        self._flying -= 1
        lane.landed += 1
        elapsed = now - lane.since
        if elapsed >= _WINDOW:
            lane.rate, lane.landed, lane.since = lane.landed / elapsed, 0, now
        self._queue(host, lane)

    def withdraw(self, host: str) -> list[Leased]:
        """Return a host's waiting events, and forget them."""
        lane = self._lanes.get(host)
        return self._withdraw(host, lane, len(lane.waiting)) if lane else []

    def stale(self, *, before: float) -> list[Leased]:
        """Return the events that have waited since ``before``, and forget them."""
        gone: list[Leased] = []
        for host, lane in list(self._lanes.items()):
            gone += self._withdraw(host, lane, sum(since <= before for since, _ in lane.waiting))
            if not lane.flying and not lane.waiting and lane.since <= before:
                del self._lanes[host]
        return gone

    def _withdraw(self, host: str, lane: _Lane, count: int) -> list[Leased]:
        rows = [lane.waiting.popleft()[1] for _ in range(count)]
        self._waiting -= count
        if lane.queued and not lane.waiting:
            lane.queued = False
            self._ready.remove(host)
        return rows

    def _queue(self, host: str, lane: _Lane) -> None:
        if lane.waiting and not lane.queued and lane.flying < self._host_concurrency:
            lane.queued = True
            self._ready.append(host)

    def _ahead(self, lane: _Lane) -> int:
        return int(min(max(lane.rate * _AHEAD, self._host_concurrency), _MOST_AHEAD))
