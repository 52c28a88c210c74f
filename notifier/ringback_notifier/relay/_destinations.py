"""Destinations, looked up now and then rather than for every event."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ringback_notifier._destination import Destination

__all__ = ["Destinations", "Reachable"]

KEPT = 30.0
"""Seconds for which a destination is used before it is looked up again."""
ERRORS_KEPT = 5.0
_MANY = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Reachable:
    """A destination with its TLS settings made; the same settings are the same object."""

    destination: Destination
    context: ssl.SSLContext


@dataclass(slots=True)
class _Entry:
    answer: asyncio.Task[Reachable]
    until: float | None = None


class Destinations:
    """A cache in front of whatever looks destinations up.

    :param look_up: gives the destination of a name, or raises.
    """

    def __init__(self, look_up: Callable[[str], Awaitable[Destination]]) -> None:
        self._look_up = look_up
        self._entries: dict[str, _Entry] = {}
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}

    async def get(self, name: str) -> Reachable:
        """Return a destination, looked up once for all who ask at the same time.

        :raises DestinationError: if it is missing or malformed.
        :raises Exception: whatever else the look-up fails with.
        """
        entry = self._entries.get(name)
        if entry is None or (entry.until is not None and time.monotonic() >= entry.until):
            if len(self._entries) >= _MANY:
                self._entries.clear()
            entry = self._entries[name] = _Entry(asyncio.ensure_future(self._load(name)))
            entry.answer.add_done_callback(lambda answer: _expire(entry, answer))
        if entry.answer.done():
            return entry.answer.result()
        return await asyncio.shield(entry.answer)

    async def aclose(self) -> None:
        """Forget everything, and end what is being looked up."""
        answers = [entry.answer for entry in self._entries.values()]
        self._entries.clear()
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)

    async def _load(self, name: str) -> Reachable:
        destination = await self._look_up(name)
        # Reading certificates blocks for tens of milliseconds.
        return Reachable(destination, await asyncio.to_thread(self._context, destination))

    def _context(self, destination: Destination) -> ssl.SSLContext:
        files = (destination.ca_bundle, destination.client_cert, destination.client_key)
        key = tuple((file, _version(file)) for file in files)
        context = self._contexts.get(key)
        if context is None:
            context = destination.ssl_context()
            context.set_alpn_protocols(["http/1.1"])
            if len(self._contexts) >= _MANY:
                self._contexts.clear()
            self._contexts[key] = context
        return context


def _expire(entry: _Entry, answer: asyncio.Task[Reachable]) -> None:
    # Reading the exception here also keeps asyncio from complaining when nobody waits any more.
    failed = answer.cancelled() or answer.exception() is not None
    entry.until = time.monotonic() + (ERRORS_KEPT if failed else KEPT)


def _version(file: str | None) -> object:
    """Return what changes when a file is replaced, as certificates are when they are renewed."""
    if file is None:
        return None
    try:
        status = os.stat(file)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
