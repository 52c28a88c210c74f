"""The account that a relay reads Airflow with, looked up again once Airflow takes it no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ringback_notifier.errors import NotifierError
from ringback_notifier.relay._outage import Outage

__all__ = ["Credentials", "Renewal"]

_PAUSE = 30.0
"""Seconds between two look-ups: a password that is wrong for days must not be a load on somebody's vault."""
_LOOK_UP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A user name and a password, or a bearer token, or nothing where Airflow gives everybody a token."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Renewal:
    """Looks credentials up again, now and then, for whoever was refused.

    :param look_up: gives those that are true by now, or raises.
    :param clock: monotonic, in seconds.
    """

    def __init__(
        self, look_up: Callable[[], Awaitable[Credentials]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look_up = look_up
        self._clock = clock
        self._next: float | None = None
        self._outage = Outage("the account that Airflow refuses cannot be looked up again")

    async def __call__(self) -> Credentials | None:
        """Return what is found, or ``None`` if nothing is, or if it was looked up a moment ago."""
        now = self._clock()
        if self._next is not None and now < self._next:
            return None
        self._next = now + _PAUSE
        try:
            found = await asyncio.wait_for(self._look_up(), _LOOK_UP_SECONDS)
        except Exception as error:  # whatever Airflow's secrets back ends fail with
            # What they say may quote a URL, and so a password.
            ours = isinstance(error, NotifierError)
            self._outage.failed(error if ours else NotifierError(type(error).__name__))
            return None
        self._outage.over()
        return found
