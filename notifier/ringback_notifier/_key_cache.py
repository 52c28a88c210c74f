"""Looking public keys up for strangers: seldom, once for all who ask, and whatever a secrets back end does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["KeyCache", "KeysUnknown"]

log = logging.getLogger(__name__)

KEPT = 10.0
"""Seconds for which an answer is given again without looking."""
FAILURES_KEPT = 1.0
ANSWERED_WITHIN = 5.0
"""Seconds for which somebody who asks waits for a look-up."""
GIVEN_UP_AFTER = 30.0
"""Seconds after which nobody waits for a look-up any more, and the next question begins another."""
MOST_THREADS = 4
"""Look-ups of one name that have not returned, with which another is not begun."""


class KeysUnknown(Exception):
    """Whether there are keys cannot be told now."""


class _NoAnswer(Exception):
    """A look-up does not return."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a look-up came to; ``None`` is a failure."""

    keys: tuple[str, ...] | None
    until: float


class KeyCache:
    """A cache in front of a slow look-up; to be used from one event loop, and for a few names only.

    Each name is on its own: what one of them costs, or how it fails, is nothing to the others.

    :param look_up: gives a name's keys, or none; it runs in a thread.
    :param clock: seconds that only go forward.
    """

    def __init__(self, look_up: Callable[[str], tuple[str, ...]], *, clock: Callable[[], float] = time.monotonic):
        self._look_up = look_up
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._flights: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._threads: Counter[str] = Counter()
        self._said: dict[str, str] = {}

    async def get(self, name: str) -> tuple[str, ...]:
        """Return a name's keys, looked up once for all who ask at the same time.

        :raises KeysUnknown: looking it up failed, or takes too long.
        """
        entry = self._entries.get(name)
        if entry is not None and self._clock() < entry.until:
            if entry.keys is None:
                raise KeysUnknown
            return entry.keys
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = asyncio.create_task(self._fly(name), name="ringback-keys")
            flight.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody waits any more
        try:
            return await asyncio.wait_for(asyncio.shield(flight), ANSWERED_WITHIN)
        except asyncio.TimeoutError:
            raise KeysUnknown from None

    async def _fly(self, name: str) -> tuple[str, ...]:
        try:
            keys = await self._in_thread(name)
        except Exception as error:
            self._entries[name] = _Entry(None, self._clock() + FAILURES_KEPT)
            # Of others' errors not the text, which may quote a connection.
            self._warn(name, str(error) if isinstance(error, _NoAnswer) else type(error).__name__)
            raise KeysUnknown from None
        finally:
            del self._flights[name]
        self._entries[name] = _Entry(keys, self._clock() + KEPT)
        self._said.pop(name, None)
        return keys

    async def _in_thread(self, name: str) -> tuple[str, ...]:
        """Look up in a thread of its own, which nobody waits for in the end.

        A secrets back end that hangs must neither use up the threads that Airflow works with nor keep it from ending.
        """
        if self._threads[name] >= MOST_THREADS:
            raise _NoAnswer(f"{MOST_THREADS} look-ups have not returned, and none is begun before one of them does")
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
            self._threads[name] -= 1
            if answer.done():  # given up
                return
            if error is None:
                answer.set_result(keys)
            else:
                answer.set_exception(error)

        threading.Thread(target=look_up, name="ringback-keys", daemon=True).start()
        self._threads[name] += 1
        await asyncio.wait([answer], timeout=GIVEN_UP_AFTER)
        if not answer.done():
            answer.cancel()
            raise _NoAnswer(f"no answer for {GIVEN_UP_AFTER:.0f} s; the next question asks anew")
        return answer.result()

    def _warn(self, name: str, why: str) -> None:
        """Say it once per outage and cause."""
        if self._said.get(name) != why:
            self._said[name] = why
            log.warning("ringback: keys of destination %r cannot be looked up: %s", name, why)
