"""Replicas tell each other which requests they have settled: LISTEN and NOTIFY, on a connection of its own.

A notification is sent after the commit and outside it: inside, all commits that notify would queue up behind one lock
of the server's.  So a replica that dies in between tells nobody; the poll of the others finds what it did.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterable

from ringback_receiver._postgres_connect import Connection, connect
from ringback_receiver._postgres_lines import within
from ringback_receiver._postgres_url import Place
from ringback_receiver._store import Settled

__all__ = ["CHANNEL", "PostgresHints"]

CHANNEL = "ringback_settled"

PROBE = 5.0
"""Seconds of silence after which the connection is tried: one that was cut without a word is found so."""

_BREATH = 0.005
"""Seconds after telling something: what is settled meanwhile is told in one go, since each go is a commit."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_SECONDS_TO_CLOSE = 1.0
_MOST_UNSAID = 10_000
_IDS = 100
_ID_CHARS = 64
_ANY = "*"

log = logging.getLogger("ringback_receiver")


class PostgresHints:
    """Tell others, and hear from them, as long as it is open and whenever it can.

    :param patience: seconds for whatever is asked of the server.
    """

    def __init__(self, place: Place, *, patience: float, probe: float = PROBE) -> None:
        self._place = place
        self._patience = patience
        self._probe = probe
        self._settled: Settled | None = None
        self._unsaid: deque[str] = deque(maxlen=_MOST_UNSAID)
        self._wake = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE
        self._closing = False

    def watch(self, settled: Settled) -> None:
        """Have it called with what others tell, and with ``None`` when something may have been missed."""
        self._settled = settled

    def open(self) -> None:
        """Begin to connect."""
        self._closing = False
        self._unsaid.clear()
        self._wake = asyncio.Event()  # a new one: it belongs to the loop that it is used in
        self._keeping = asyncio.create_task(self._keep(), name="ringback-listen")

    async def close(self) -> None:
        """Hang up."""
        self._closing = True
        self._wake.set()
        while self._keeping is not None and not self._keeping.done():
            # Only what hangs is cancelled: a connection that is just being made would be left open.
            await asyncio.wait([self._keeping], timeout=_SECONDS_TO_CLOSE)
            self._keeping.cancel()
        self._keeping = None

    def tell(self, request_ids: Iterable[str]) -> None:
        """Tell the others soon."""
        self._unsaid.extend(request_ids)
        if self._unsaid:
            self._wake.set()

    async def _keep(self) -> None:
        while not self._closing:
            try:
                await self._converse()
            except Exception as error:  # whatever it is, the poll is the truth, and the next connection may hold
                await self._rest(error)

    async def _rest(self, error: Exception) -> None:
        if self._closing:
            return
        said = self._place.scrub(f"{type(error).__name__}: {error}")
        log.warning("PostgreSQL store %s: no longer told of other replicas: %s", self._place, said)
        await asyncio.sleep(self._pause * (1 + random.random()) / 2)  # noqa: S311 - nobody's secret
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    async def _converse(self) -> None:
        connection = await connect(self._place, patience=self._patience)
        try:
            connection.add_termination_listener(lambda _: self._wake.set())
            await within(self._patience, connection, connection.add_listener(CHANNEL, self._hear))
            self._pause = _FIRST_PAUSE
            self._say(None)  # what was told before this connection was told to nobody here
            while not self._closing:
                await self._pass(self._probe)
                if await within(self._patience, connection, self._speak(connection)):
                    await asyncio.sleep(_BREATH)
            if self._unsaid:
                await within(_SECONDS_TO_CLOSE, connection, self._speak(connection))
            await within(_SECONDS_TO_CLOSE, connection, connection.close())
        finally:
            connection.terminate()

    async def _pass(self, seconds: float) -> None:
        """Wait until there is something to do, or for so long."""
        # Not wait_for: until Python 3.12 it forgets that it was cancelled if the wake-up comes at once, too.
        alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        await self._wake.wait()
        alarm.cancel()
        self._wake.clear()

    async def _speak(self, connection: Connection) -> bool:
        """Tell what is unsaid, and return whether that was anything; if not, it shows whether the server is there."""
        payloads = []
        while self._unsaid:
            ids = [self._unsaid.popleft() for _ in range(min(_IDS, len(self._unsaid)))]
            plain = all(len(name) <= _ID_CHARS and name.isascii() and " " not in name for name in ids)
            payloads.append(" ".join(ids) if plain else _ANY)
        await connection.fetch("SELECT pg_notify($1, payload) FROM unnest($2::text[]) payload", CHANNEL, payloads)
        return bool(payloads)

    def _hear(self, connection: Connection, sender: int, channel: str, payload: object) -> None:
        if sender != connection.get_server_pid():
            words = str(payload).split(" ")
            self._say(None if _ANY in words else words)

    def _say(self, request_ids: list[str] | None) -> None:
        if self._settled is not None:
            self._settled(request_ids)
