"""From a run that was seen to start or end to the hint for the relay.  Pure."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback_notifier._report import Site
    from ringback_notifier.outbox import Hint
    from ringback_protocol.event import RunState

__all__ = ["Seen", "Seldom", "hint_of"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A run whose state has changed, as it was loaded.

    :param conf: what of the run's conf asks for a callback.
    :param at: Unix seconds.
    :param has_callback: a callback of the DAG will report it, too, and better.
    """

    dag_id: str
    run_id: str
    start_date: datetime | None
    conf: Mapping[str, Any]
    state: RunState
    at: float
    has_callback: bool


class Seldom:
    """Something that is said at most once in so many seconds.  Pure: the clock is an argument."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    def again(self, now: float) -> bool:
        """Tell whether it may be said now, and take it as said."""
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def hint_of(seen: Seen, site: Site, *, grace: float) -> Hint | None:
    """Return what to write for a run, or ``None`` where nobody asked for this, or not in a way that can be honoured.

    :param grace: seconds to leave to the DAG's own callback.
    """
    from ringback_notifier.outbox import Hint
    from ringback_protocol import event_id, parse_callback_request

    try:
        request = parse_callback_request(seen.conf)
        if request is None or not request.wants(seen.state):
            return None
        made = event_id(
            source=site.source,
            dag_id=seen.dag_id,
            run_id=seen.run_id,
            start_date=seen.start_date,
            state=seen.state,
            callback_url=request.url,
        )
    except Exception:
        # The relay's sweep sees the same conf, and reports what is wrong with it.
        log.debug("ringback: run %r of %r cannot be noted", seen.run_id, seen.dag_id, exc_info=True)
        return None
    return Hint(
        dag_id=seen.dag_id,
        run_id=seen.run_id,
        event_id=made,
        state=seen.state,
        seen_by="listener",
        due_at=seen.at + (grace if seen.has_callback else 0.0),
    )
