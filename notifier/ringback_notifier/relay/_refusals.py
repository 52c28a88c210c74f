"""Saying once that a run asks for a callback in a way that cannot be honoured."""

from __future__ import annotations

import logging

from ringback_notifier._outcomes import tell
from ringback_notifier.outbox import Outbox
from ringback_notifier.relay._database import Database
from ringback_notifier.relay._judging import Refuse
from ringback_notifier.relay._tally import Tally

__all__ = ["refuse"]

log = logging.getLogger(__name__)


async def refuse(refusal: Refuse, *, database: Database, tally: Tally, now: float) -> None:
    """Keep the refusal in the outbox, and log it unless it was there.

    :raises OutboxError: if it cannot be kept.
    """
    event = refusal.event
    if await database.call(Outbox.refuse, event, refusal.why, now=now):
        tally.refused += 1
        tell(
            log,
            logging.WARNING,
            "refused",
            event_id=event.event_id,
            dag_id=event.dag_id,
            run_id=event.run_id,
            destination=event.destination,
            sender="relay",
            url=event.url,
            is_known=False,
            why=f"its run asks for a callback that cannot be given: {refusal.why}",
        )
