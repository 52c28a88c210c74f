"""The relay as a process of its own: ``ringback relay``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Any

from ringback_notifier.errors import OutboxUnavailable

if TYPE_CHECKING:
    from ringback_notifier._destination import Destination
    from ringback_notifier.relay._relay import DrainReport

__all__ = ["run_relay"]

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


def run_relay(for_seconds: float | None = None) -> DrainReport:
    """Drain until SIGTERM or SIGINT, or for so many seconds, and end what is in flight.

    Without a limit it waits for its connection ``ringback_airflow`` and for the outbox.

    :raises NotifierError: if it is not set up.
    """
    from ringback_notifier.relay._lookups import look_up_as_a_server

    look_up_as_a_server()
    return asyncio.run(_drain(for_seconds))


async def _drain(for_seconds: float | None) -> DrainReport:
    from ringback_notifier._context import load_destination
    from ringback_notifier.relay._errors import ConnectionNotFound
    from ringback_notifier.relay._lookups import find_connection
    from ringback_notifier.relay._wiring import opened_relay

    async def connection(conn_id: str) -> Any:
        try:
            return await asyncio.to_thread(find_connection, conn_id)
        except Exception as error:  # whatever Airflow's secrets back ends fail with
            # What they say may quote a URL, and so a password.
            raise ConnectionNotFound(
                f"Airflow connection {conn_id} cannot be looked up: {type(error).__name__}; "
                f"`airflow connections get {conn_id}` shows why"
            ) from error

    async def destination(name: str) -> Destination:
        return await asyncio.to_thread(load_destination, name)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    pause, said = _FIRST_PAUSE, ""
    while True:
        try:
            async with opened_relay("process", connection=connection, destination=destination) as relay:
                if said:
                    log.warning("ringback relay: it can start now")
                return await relay.drain(for_seconds, stop=stop)
        except (OutboxUnavailable, ConnectionNotFound) as error:
            # It starts with the machine, maybe before the databases do, the outbox's and Airflow's.
            if for_seconds is not None or stop.is_set():
                raise
            if str(error) != said:
                said = str(error)
                log.warning("ringback relay: waiting, for it cannot start yet: %s", said)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
