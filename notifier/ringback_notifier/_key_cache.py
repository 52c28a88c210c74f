"""Looking public keys up for strangers: a few look-ups at a time and per second, whatever they ask for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["KeyCache", "KeysBusy", "KeysUnknown"]

log = logging.getLogger(__name__)

KEPT = 10.0
"""Seconds for which an answer is given again without looking."""
FAILURES_KEPT = 1.0
MOST_UNKNOWN = 256
"""Names without keys that are remembered."""
RATE = 5.0
"""Look-ups per second of names that are not known to have keys, and four times as many at once after a rest."""
_BURST = 4 * RATE
_MOST_FLIGHTS = 32
_THREADS = 2
_LOOK_UP_SECONDS = 5.0


class KeysBusy(Exception):
    """Too many different names are asked for just now."""


class KeysUnknown(Exception):
    """Whether there are keys cannot be told now."""


@dataclass(frozen=True, slots=True)
class _Entry:
    keys: tuple[str, ...]
    until: float


class KeyCache:
    """A cache in front of a slow look-up; to be used from one event loop.

    Names that are known to have keys are looked up again whenever their entry is old: nobody but the operator can
    make more of those.  All other names share one small allowance.

    :param look_up: gives a name's keys, or none; it runs in a thread.
    :param clock: seconds that only go forward.
    """

    def __init__(self, look_up: Callable[[str], tuple[str, ...]], *, clock: Callable[[], float] = time.monotonic):
        self._look_up = look_up
        self._clock = clock
        self._known: dict[str, _Entry] = {}
        self._unknown: dict[str, _Entry] = {}
        self._flights: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._failed: dict[str, float] = {}
        self._turns = asyncio.Semaphore(_THREADS)
        self._allowance, self._counted_at = _BURST, clock()

    async def get(self, name: str) -> tuple[str, ...]:
        """Return a name's keys, looked up once for all who ask at the same time.

        :raises KeysBusy: it was not looked up, and nothing is known of it.
        :raises KeysUnknown: looking it up failed, or takes too long.
        """
        entry = self._known.get(name) or self._unknown.get(name)
        if entry is not None and self._clock() < entry.until:
            return entry.keys
        if self._clock() < self._failed.get(name, float("-inf")):
            raise KeysUnknown
        flight = self._flights.get(name)
        if flight is None:
            if name not in self._known and (len(self._flights) >= _MOST_FLIGHTS or not self._allowed()):
                raise KeysBusy
            flight = self._flights[name] = asyncio.create_task(self._fly(name), name="ringback-keys")
            flight.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits any more
        try:
            return await asyncio.wait_for(asyncio.shield(flight), _LOOK_UP_SECONDS)
        except asyncio.TimeoutError:
            raise KeysUnknown from None

    async def _fly(self, name: str) -> tuple[str, ...]:
        try:
            async with self._turns:
                keys = await self._in_thread(name)
        except Exception as error:
            # Not its text, which may quote a connection.
            log.warning("ringback: keys of destination %r cannot be looked up: %s", name, type(error).__name__)
            if name in self._known:  # the others have their allowance
                self._failed[name] = self._clock() + FAILURES_KEPT
            raise KeysUnknown from None
        finally:
            del self._flights[name]
        self._keep(name, _Entry(keys, self._clock() + KEPT))
        return keys

    async def _in_thread(self, name: str) -> tuple[str, ...]:
        """Look up in a thread of its own, which nobody waits for in the end.

        A secrets back end that hangs must neither use up the threads that Airflow works with nor keep it from ending.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[str, ...]] = loop.create_future()

        def look_up() -> None:
            try:
                keys, error = self._look_up(name), None
            except Exception as raised:
                keys, error = (), raised
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, keys, error)

        def settle(keys: tuple[str, ...], error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(keys)
            else:
                answer.set_exception(error)

        threading.Thread(target=look_up, name="ringback-keys", daemon=True).start()
        return await answer

    def _keep(self, name: str, entry: _Entry) -> None:
        self._failed.pop(name, None)
        self._known.pop(name, None)
        self._unknown.pop(name, None)
        if entry.keys:
            self._known[name] = entry
            return
        self._unknown[name] = entry
        if len(self._unknown) > MOST_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]

    def _allowed(self) -> bool:
        now = self._clock()
        self._allowance = min(self._allowance + (now - self._counted_at) * RATE, _BURST)
        self._counted_at = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True
