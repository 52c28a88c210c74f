"""Trust the keys that Airflow itself publishes, and notice when they change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx

from ringback_protocol import PublicKey, Refusal, VerificationError
from ringback_protocol.keys import VerificationKey
from ringback_receiver._airflow_settings import Verify, verification
from ringback_receiver._key_source import KeySource
from ringback_receiver._published_keys import ask, http_client, keys_url
from ringback_receiver._trusted_keys import Failed, TrustedKeys
from ringback_receiver.errors import ConfigurationError, KeysUnavailable

__all__ = ["Discover"]

T = TypeVar("T")

log = logging.getLogger("ringback_receiver")


class Discover(KeySource):
    """Ask Airflow for the public keys: ``Receiver(…, keys=Discover("https://airflow.example"))``.

    Whoever can answer for that address decides whom the receiver trusts, so it is https, its certificate is
    checked, and no redirect leads elsewhere.  An event that a known key signed costs no request.  The keys are asked
    for again when they are old, and when no known key has signed an event.  While Airflow does not answer, those that
    are known go on being trusted for as long as it said; they are in memory only.

    :param base_url: of Airflow, as its users know it.
    :param destination: whose keys, by default the receiver's own destination.
    :param allow_http: ask over plain http, though anybody on the way could publish keys of his own.  To a loopback
        address that is always allowed.
    :param verify: a CA file or an ``ssl.SSLContext``, if the system's CAs do not do.
    :param timeout: seconds for one request as a whole; an event by an unknown key waits for it.  At most the
        receiver's ``max_waiting`` events do: anybody can send some, and each is held meanwhile.
    :param interval: seconds between two requests, at least, however many events by unknown keys come in.
    :raises ConfigurationError: an argument cannot be right.
    :raises AirflowUsageError: the CA cannot be read, or certificates are not to be checked.
    """

    def __init__(
        self,
        base_url: str,
        destination: str | None = None,
        *,
        allow_http: bool = False,
        verify: Verify = True,
        timeout: float = 5.0,
        interval: float = 10.0,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        keys_url(base_url, destination or "default", allow_http=allow_http)
        if not timeout > 0 or not interval > 0:
            raise ConfigurationError("Discover: timeout and interval must be more than 0 seconds")
        self._base_url, self._destination, self._allow_http = base_url, destination, allow_http
        self._verify, self._transport = verification(verify), transport
        self._timeout = timeout
        self._clock = clock
        self._trusted = TrustedKeys(interval=interval)
        self._http: httpx.AsyncClient | None = None
        self._url, self._name = "", ""
        self._waiting, self._most_waiting = 0, 0
        self._said: object = None
        self._flight: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Discover({self._base_url!r})"

    async def open(self, destination: str, *, most_waiting: int) -> None:
        """Begin asking; nobody waits for the answer yet.

        :raises ConfigurationError: another receiver has it open.
        """
        if self._http is not None:
            raise ConfigurationError("a Discover serves one receiver: make another")
        self._most_waiting = most_waiting
        self._name = self._destination or destination
        self._url = keys_url(self._base_url, self._name, allow_http=self._allow_http)
        self._http = http_client(self._verify, self._transport)
        self._ask()

    async def close(self) -> None:
        """Ask no more; the keys stay known."""
        http, self._http = self._http, None
        if self._timer is not None:
            self._timer.cancel()
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)
        if http is not None:
            await http.aclose()

    async def verify(self, check: Callable[[Sequence[VerificationKey]], T]) -> T:
        """Check with the keys that are known, and once more if asking brings others.

        :raises KeysUnavailable: no key is known, and everything else is as it should be.
        """
        tried = self._trusted.at(self._clock())
        try:
            return check(tried)
        except VerificationError as error:
            if error.refusal is not Refusal.BAD_SIGNATURE:
                raise
            keys = await self._others(than=tried)
            if keys == tried and keys:
                raise
        if not keys:
            raise KeysUnavailable(f"no key of destination {self._name!r} is known yet")
        return check(keys)

    async def _others(self, than: Sequence[PublicKey]) -> Sequence[PublicKey]:
        """Return the keys after asking for them.

        At once, if they have changed meanwhile, somebody asked just now, or too many wait for the answer already.
        """
        keys = self._trusted.at(self._clock())
        if keys != than:
            return keys
        if self._flight is None and self._trusted.may_ask(self._clock()):
            self._ask()
        if self._flight is not None and self._waiting < self._most_waiting:
            self._waiting += 1
            try:
                await asyncio.wait([self._flight])
            finally:
                self._waiting -= 1
        return self._trusted.at(self._clock())

    def _ask(self) -> None:
        if self._flight is None and self._http is not None:
            self._flight = asyncio.create_task(self._ask_once(self._http), name="ringback-keys")
            self._flight.add_done_callback(self._landed)

    async def _ask_once(self, http: httpx.AsyncClient) -> None:
        self._trusted.asked(self._clock())
        learned = await ask(http, self._url, self._name, etag=self._trusted.etag, within=self._timeout)
        self._trusted.learn(learned, self._clock())
        keys = self._trusted.at(self._clock())
        news = Failed if isinstance(learned, Failed) else keys
        if news == self._said:
            return
        self._said = news
        if isinstance(learned, Failed):
            log.warning(
                "keys cannot be had from %s (%s); going on with the %d known", self._url, learned.why, len(keys)
            )
        elif keys:
            log.info("keys from %s: %s", self._url, " ".join(map(str, keys)))
        else:
            log.error(
                "keys from %s: it publishes none, so no event can be believed; is the destination in [ringback] "
                "publish_keys there?",
                self._url,
            )

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flight = None
        if flight.cancelled():
            return
        if (error := flight.exception()) is not None:  # a defect of ours must not stop the asking
            log.error("keys from %s: asking broke", self._url, exc_info=error)
            self._trusted.learn(Failed(type(error).__name__), self._clock())
        if self._http is not None:
            wait = max(self._trusted.ask_again_at - self._clock(), 0.0)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = flight.get_loop().call_later(wait, self._ask)
