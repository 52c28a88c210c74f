"""What goes into the outbox and comes out of it.  Times are Unix seconds, UTC."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ringback_protocol.event import ReportedBy, RunState

__all__ = [
    "Attempt",
    "Duty",
    "Hint",
    "HintRow",
    "Leased",
    "OutboxEvent",
    "Recorded",
    "Sender",
    "Settled",
    "Settlement",
    "Status",
    "event_id_of",
    "run_key",
]

Status = Literal["hint", "due", "leased", "delivered", "dead", "gone", "refused"]
"""``hint``: somebody saw a run end; it is not certain yet.  ``due``: to be sent at ``due_at``.  ``leased``: a relay
sends it just now, until ``due_at``.  Settled: ``delivered``, ``dead`` (given up), ``gone`` (the receiver answered 410),
``refused`` (no destination allows it, or the request was malformed)."""

Sender = Literal["task", "callback", "relay"]
"""Who made an attempt."""

Recorded = Literal["due", "delivered", "gone", "refused"]
"""What a fast path's own attempt can come to."""

Settled = Literal["due", "delivered", "dead", "gone", "refused"]
"""What a relay's attempt can come to."""

_RUN = "run_"
_HASH_CHARACTERS = 32  # 128 bits


def run_key(dag_id: str, run_id: str) -> str:
    """Return the key of a hint on a run whose event id is unknown."""
    digest = hashlib.sha256(f"{len(dag_id)}:{dag_id}/{run_id}".encode("utf-8", "surrogatepass"))
    return _RUN + digest.hexdigest()[:_HASH_CHARACTERS]


def event_id_of(key: str) -> str | None:
    """Return the event id that a hint's key is, or ``None`` if it only stands for a run."""
    return None if key.startswith(_RUN) else key


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """Somebody saw a run end, or start, before it is certain.

    :param event_id: ``None`` where the run's conf is unknown.
    :param due_at: when to look whether it is true.
    """

    dag_id: str
    run_id: str
    event_id: str | None
    state: RunState | None
    seen_by: Literal["listener", "callback"]
    due_at: float

    @property
    def key(self) -> str:
        """Its primary key in the outbox: the event id, or one made of the run's ids."""
        return self.event_id if self.event_id is not None else run_key(self.dag_id, self.run_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class HintRow:
    """A hint as it lies in the outbox.

    :param looks: how often it was taken before, and this time.
    """

    key: str
    dag_id: str
    run_id: str
    event_id: str | None
    state: RunState | None
    seen_by: str
    looks: int
    created_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxEvent:
    """An encoded event to deliver.

    :param url: where to; may be empty, and ``body`` too, in a row that is refused from the start.
    :param reported_by: who built the body.
    """

    event_id: str
    dag_id: str
    run_id: str
    state: RunState
    destination: str
    url: str
    body: bytes
    reported_by: ReportedBy
    ended_at: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt to deliver.

    :param at: when it began.
    :param duration: seconds.
    :param status: of the receiver's answer; ``None`` if there was none.
    :param error: why it is not delivered, or ``None``.
    :param excerpt: of the answer's body; at most 500 characters are kept.
    """

    sender: Sender
    at: float
    duration: float
    status: int | None
    error: str | None
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Leased:
    """An event that one relay may send now.

    :param host: ``host:port`` in lower case.
    :param attempts: that relays have made already; those of tasks and callbacks are recorded but not counted.
    """

    event_id: str
    dag_id: str
    run_id: str
    destination: str
    url: str
    host: str
    body: bytes
    attempts: int
    created_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """What became of a leased event.

    :param due_at: when to try again; only ``due`` uses it.
    :param attempt: to be recorded and counted; ``None`` if none was made.
    """

    event_id: str
    status: Settled
    due_at: float
    attempt: Attempt | None


class Duty(NamedTuple):
    """Something that one relay does for all, until ``until``."""

    name: str
    holder: str
    until: float
    value: str | None
