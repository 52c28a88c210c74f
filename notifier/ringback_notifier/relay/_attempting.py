"""One attempt of the relay: from a leased event to what is written down about it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import Literal

from ringback_notifier._exchange import Delivery
from ringback_notifier._outcomes import Happened, tell
from ringback_notifier._policy import Answer, Delivered, GiveUp, NoAnswer, Outcome, decide
from ringback_notifier._tracing import delivering
from ringback_notifier.errors import DestinationError, DestinationMissing, NotAllowedError
from ringback_notifier.outbox._rows import Attempt, Leased, Settlement
from ringback_notifier.relay._destinations import ERRORS_KEPT, Destinations
from ringback_notifier.relay._outage import Outage
from ringback_notifier.relay._schedule import Dead, Next, RetryAt, after_attempt
from ringback_notifier.relay._sender import Sender
from ringback_protocol.trace_context import traceparent_of

__all__ = ["Attempting", "Health", "Landing", "health_of", "settlement_of"]

log = logging.getLogger(__name__)

Health = Literal["up", "down", "unknown"]
"""What an attempt says of its host."""

_LONGEST_ERROR = 500
_LOOK_UP_SECONDS = 10.0
_MANY = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Landing:
    """What came of a leased event.

    :param settlement: what to write down, or ``None`` if nothing was attempted.
    :param again_at: when to give it back for, in Unix seconds, if nothing was attempted.
    """

    row: Leased
    health: Health = "unknown"
    settlement: Settlement | None = None
    again_at: float = 0.0


def health_of(outcome: Outcome) -> Health:
    """Tell whether a host is up: it is if it answers, unless it says itself that it is broken."""
    if isinstance(outcome, NoAnswer) and not outcome.of_host:
        return "unknown"
    return "up" if isinstance(outcome, Answer) and outcome.status < 500 else "down"


def settlement_of(row: Leased, outcome: Outcome, then: Next, *, at: float, now: float) -> Settlement:
    """Return what to write down after an attempt.  Pure.

    :param then: what follows from the outcome.
    :param at: when it began, in Unix seconds.
    :param now: when it ended.
    """
    attempt = Attempt(
        sender="relay",
        at=at,
        duration=max(now - at, 0.0),
        status=outcome.status if isinstance(outcome, Answer) else None,
        error=None if isinstance(then, Delivered) else then.why[:_LONGEST_ERROR],
        excerpt=outcome.excerpt if isinstance(outcome, Answer) else "",
    )
    if isinstance(then, RetryAt):
        return Settlement(event_id=row.event_id, status="due", due_at=then.at, attempt=attempt)
    status: Literal["delivered", "gone", "dead"] = (
        "delivered" if isinstance(then, Delivered) else "gone" if isinstance(then, GiveUp) else "dead"
    )
    return Settlement(event_id=row.event_id, status=status, due_at=now, attempt=attempt)


class Attempting:
    """Attempts to deliver leased events, one at a time or many."""

    def __init__(self, *, destinations: Destinations, sender: Sender) -> None:
        self._destinations = destinations
        self._sender = sender
        self._outages: dict[str, Outage] = {}

    async def attempt(self, row: Leased) -> Landing:
        """Make one attempt; nothing is raised but a cancellation."""
        at = time.time()
        health: Health = "unknown"
        is_known = True
        try:
            reachable = await asyncio.wait_for(self._destinations.get(row.destination), _LOOK_UP_SECONDS)
        except DestinationError as error:
            self._working(row.destination)
            is_known = not isinstance(error, DestinationMissing)
            outcome: Outcome = NoAnswer(error=f"destination: {error}")
        except Exception as error:  # whatever Airflow's secrets back ends fail with; it is not the event's fault
            self._failing(row.destination).failed(error)
            log.debug("ringback relay: event %s waits for its destination", row.event_id)
            return Landing(row=row, again_at=time.time() + ERRORS_KEPT)
        else:
            self._working(row.destination)
            try:
                reachable.destination.check_allowed(row.url)
            except NotAllowedError as error:
                _say(row, "refused", level=logging.WARNING, why=str(error))
                return Landing(row=row, settlement=_refused(row, str(error), at=at))
            delivery = Delivery(
                event_id=row.event_id,
                url=row.url,
                body=row.body,
                destination=reachable.destination,
                traceparent=traceparent_of(row.body),
            )
            try:
                with delivering(delivery) as (traced, ended):
                    outcome = await self._sender.send(traced, reachable.context)
                    ended(outcome)
                health = health_of(outcome)
            except Exception as error:  # a defect of ours must not stop the others
                log.exception("ringback relay: event %s: the attempt broke", row.event_id)
                outcome = NoAnswer(error=f"internal: {type(error).__name__}")
        chance = random.random()  # noqa: S311
        now = time.time()
        then = after_attempt(attempts=row.attempts + 1, decision=decide(outcome), now=now, jitter=chance)
        _tell(row, then, now, is_known=is_known)
        return Landing(row=row, health=health, settlement=settlement_of(row, outcome, then, at=at, now=now))

    def _failing(self, name: str) -> Outage:
        if name not in self._outages and len(self._outages) >= _MANY:
            self._outages.clear()  # the log repeats itself then, which is better than to grow
        return self._outages.setdefault(name, Outage(f"destination {name!r} cannot be looked up, and its events wait"))

    def _working(self, name: str) -> None:
        if outage := self._outages.pop(name, None):
            outage.over()


def _refused(row: Leased, why: str, *, at: float) -> Settlement:
    attempt = Attempt(sender="relay", at=at, duration=0.0, status=None, error=why[:_LONGEST_ERROR])
    return Settlement(event_id=row.event_id, status="refused", due_at=at, attempt=attempt)


def _tell(row: Leased, then: Next, now: float, *, is_known: bool) -> None:
    if isinstance(then, Delivered):
        _say(row, "delivered", level=logging.INFO, why=f"status {then.status}", now=now)
        return
    happened: Happened = "dead" if isinstance(then, Dead) else "failed" if isinstance(then, RetryAt) else "gone"
    level = logging.ERROR if happened == "dead" else logging.INFO
    _say(row, happened, level=level, why=then.why, is_known=is_known)


def _say(row: Leased, happened: Happened, *, level: int, why: str, now: float = 0.0, is_known: bool = True) -> None:
    tell(
        log,
        level,
        happened,
        event_id=row.event_id,
        dag_id=row.dag_id,
        run_id=row.run_id,
        destination=row.destination,
        sender="relay",
        url=row.url,
        why=why,
        ended_at=row.ended_at,
        now=now,
        is_known=is_known,
    )
