"""Kill one part at a time, at random, and start again what is down, as a supervisor such as systemd would."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chaos._parts import Part

__all__ = ["Killer", "Strike"]

_CARDS = {
    "receiver": 3,
    "relay-1": 2,
    "relay-2": 2,
    "dag-processor": 2,
    "scheduler": 2,
    "triggerer": 1,
    "api-server": 2,
    "postgresql": 1,
}
"""The deck from which the next part is drawn; once it is empty it is shuffled anew, so that none is spared."""

_TICK = 0.5
_RESTART_SECONDS = 2.0
"""Before what died by itself is started again; systemd's RestartSec."""

_DOWN_SECONDS = (0.0, 5.0)
_PAUSE_SECONDS = (2.0, 12.0)
"""Between everything's serving again and the next strike."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One ``kill -9``.

    :param at: Unix seconds.
    """

    at: float
    part: str


class Killer(threading.Thread):
    """Supervise from :meth:`start`, kill from :meth:`rage` to :meth:`rest`, and end at :meth:`leave`.

    :param parts: all are running.
    """

    def __init__(self, parts: Sequence[Part], chance: random.Random) -> None:
        super().__init__(name="killer", daemon=True)
        self.strikes: list[Strike] = []
        self.deaths: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._parts = {part.name: part for part in parts}
        self._chance = chance
        self._deck: list[str] = []
        self._down: dict[str, float] = {}
        self._raging = False
        self._left = threading.Event()
        self._well_since: float | None = None
        self._pause = 0.0

    def rage(self) -> None:
        """Begin to kill."""
        self._raging = True

    def rest(self) -> None:
        """Kill no more; go on supervising."""
        self._raging = False

    def leave(self) -> None:
        """Supervise no more, and wait until that is so."""
        self._left.set()
        if self.is_alive():
            self.join()

    @property
    def all_well(self) -> bool:
        """Whether everything serves."""
        return self._well_since is not None

    def run(self) -> None:
        """Supervise."""
        try:
            while not self._left.wait(_TICK):
                self._revive()
                self._look_around()
                if self._raging and self._well_since and time.monotonic() >= self._well_since + self._pause:
                    self._strike()
        except BaseException as error:
            self.error = error
            raise

    def _revive(self) -> None:
        now = time.monotonic()
        for part in self._parts.values():
            if part.name in self._down:
                if now >= self._down[part.name]:
                    part.start()
                    del self._down[part.name]
            elif not part.alive():
                self.deaths[part.name] += 1
                part.kill()
                self._down[part.name] = now + _RESTART_SECONDS

    def _look_around(self) -> None:
        if self._down or not all(part.serves() for part in self._parts.values()):
            self._well_since = None
        elif self._well_since is None:
            self._well_since = time.monotonic()
            self._pause = self._chance.uniform(*_PAUSE_SECONDS)

    def _strike(self) -> None:
        if not self._deck:
            self._deck = [name for name, count in _CARDS.items() for _ in range(count)]
            self._chance.shuffle(self._deck)
        part = self._parts[self._deck.pop()]
        self.strikes.append(Strike(at=time.time(), part=part.name))
        part.kill()
        self._down[part.name] = time.monotonic() + self._chance.uniform(*_DOWN_SECONDS)
        self._well_since = None
