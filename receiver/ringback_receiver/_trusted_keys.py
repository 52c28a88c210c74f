"""Which published keys are trusted for how long, and when to ask again: pure, on a clock that only goes forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ringback_protocol import PublicKey

__all__ = ["Failed", "Learned", "Published", "TrustedKeys", "Unchanged", "Withdrawn"]

_LONGEST_WAIT = 300.0
_LONGEST_AGE = 86_400.0
_LONGEST_TRUST = 30 * 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """Keys as they were published, newest first, with the seconds for which each may be trusted unasked.

    :param max_age: seconds after which to ask again.
    """

    keys: tuple[tuple[PublicKey, float], ...]
    max_age: float
    etag: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """They are what they were."""

    max_age: float


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """There are none (any more)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nobody knows.

    :param why: without anything secret.
    :param retry_after: seconds that Airflow asks to be left alone.
    """

    why: str
    retry_after: float | None = None


Learned: TypeAlias = "Published | Unchanged | Withdrawn | Failed"


class TrustedKeys:
    """The keys in use.  ``now`` is in seconds, of one clock that only goes forward.

    :param interval: seconds between two times of asking, at least.
    """

    def __init__(self, *, interval: float) -> None:
        self._interval = interval
        self._published: Published | None = None
        self._until: tuple[tuple[PublicKey, float], ...] = ()
        self._may_ask_at = float("-inf")
        self._failures = 0
        self.ask_again_at = float("-inf")

    @property
    def etag(self) -> str | None:
        """What the published keys are known by."""
        return self._published.etag if self._published else None

    def at(self, now: float) -> Sequence[PublicKey]:
        """Return the keys that are trusted now."""
        return tuple(key for key, until in self._until if now < until)

    def may_ask(self, now: float) -> bool:
        """Tell whether it is long enough ago that somebody asked, and as long as Airflow wished."""
        return now >= self._may_ask_at

    def asked(self, now: float) -> None:
        """Note that somebody asks."""
        self._may_ask_at = now + self._interval

    def learn(self, learned: Learned, now: float) -> None:
        """Take what came of asking; a failure takes no key away, and an answer without a key takes them all."""
        if isinstance(learned, Failed) and learned.retry_after is not None:
            self.ask_again_at = now + max(self._interval, min(learned.retry_after, _LONGEST_WAIT))
            self._may_ask_at = self.ask_again_at
            return
        if isinstance(learned, Failed):
            self.ask_again_at = now + max(self._interval, min(self._interval * 2.0**self._failures, _LONGEST_WAIT))
            self._failures = min(self._failures + 1, 32)
            return
        self._failures = 0
        if isinstance(learned, Withdrawn):
            self._published, self._until = None, ()
            self.ask_again_at = now + max(self._interval, _LONGEST_WAIT)
            return
        if isinstance(learned, Published):
            self._published = learned
        if self._published is not None:
            self._until = tuple((key, now + min(trust, _LONGEST_TRUST)) for key, trust in self._published.keys)
        self.ask_again_at = now + max(self._interval, min(learned.max_age, _LONGEST_AGE))
