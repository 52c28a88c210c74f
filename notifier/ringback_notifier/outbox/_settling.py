"""What became of leased events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Double, Integer, update

from ringback_notifier.outbox._attempt_rows import write_attempts
from ringback_notifier.outbox._locking import by_id, locked
from ringback_notifier.outbox._many import among, chunks, update_rows
from ringback_notifier.outbox._rows import Attempt, Settlement
from ringback_notifier.outbox._schema import WAITING, events

__all__ = ["expire", "settle"]

_FINAL = ("delivered", "gone")


def settle(connection: Connection, owner: str, settlements: Sequence[Settlement], *, now: float) -> None:
    said = {settlement.event_id: settlement for settlement in settlements}
    present = locked(connection, said)
    valid = [said[row.event_id] for row in present if _counts(said[row.event_id], row, owner)]
    _finish(connection, [settlement for settlement in valid if settlement.status != "due"], now)
    _postpone(connection, [settlement for settlement in valid if settlement.status == "due"])
    made = ((row.event_id, said[row.event_id].attempt) for row in present)
    write_attempts(connection, [(event_id, attempt) for event_id, attempt in made if attempt is not None])


def _counts(settlement: Settlement, row: Any, owner: str) -> bool:
    """Say whether a settlement still matters: what reached the receiver did, whoever is in charge by now."""
    if row.status == "leased" and row.leased_by == owner:
        return True
    return settlement.status in _FINAL and row.status not in ("delivered", settlement.status)


def _finish(connection: Connection, settlements: Iterable[Settlement], now: float) -> None:
    alike: dict[tuple[str, bool], list[str]] = defaultdict(list)
    for settlement in settlements:
        alike[settlement.status, settlement.attempt is not None].append(settlement.event_id)
    for (status, counted), event_ids in alike.items():
        for chunk in chunks(event_ids):
            connection.execute(
                update(events)
                .where(among(connection, events.c.event_id, chunk))
                .values(
                    status=status,
                    leased_by=None,
                    settled_at=now,
                    due_at=now,
                    attempts=events.c.attempts + int(counted),
                )
            )


def _postpone(connection: Connection, settlements: Iterable[Settlement]) -> None:
    update_rows(
        connection,
        events.c.event_id,
        [
            {"key": settlement.event_id, "again_at": settlement.due_at, "counted": int(settlement.attempt is not None)}
            for settlement in settlements
        ],
        {"again_at": Double(), "counted": Integer()},
        lambda given: {
            "status": "due",
            "leased_by": None,
            "due_at": given("again_at"),
            "attempts": events.c.attempts + given("counted"),
        },
    )


def expire(connection: Connection, host: str, *, before: float, now: float) -> int:
    overdue = by_id(
        connection,
        WAITING,
        events.c.status == "due",
        events.c.host == host,
        events.c.schedule_from < before,
        events.c.attempts > 0,
    )
    given_up = list(
        connection.execute(
            update(events)
            .where(events.c.event_id.in_(overdue))
            .values(status="dead", settled_at=now)
            .returning(events.c.event_id)
        ).scalars()
    )
    attempt = Attempt(
        sender="relay", at=now, duration=0.0, status=None, error=f"given up: {host} has not answered for too long"
    )
    write_attempts(connection, [(event_id, attempt) for event_id in given_up])
    return len(given_up)
