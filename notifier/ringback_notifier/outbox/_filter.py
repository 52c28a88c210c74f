"""Which events somebody asks for: a value that says nothing of tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ringback_notifier.outbox._rows import Status

__all__ = ["EVERYTHING", "EventFilter", "can_be_stored"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """What is asked for; what is ``None`` leaves everything.

    :param dag_ids: these DAGs only, the ones that a user may read; empty leaves nothing.
    :param dag_id: the one that was asked for.
    :param run_id: exactly.
    :param run_id_contains: letter by letter: no character of it means another.
    :param since: created then or later; Unix seconds.
    :param until: created before.
    """

    statuses: Collection[Status] | None = None
    dag_ids: Collection[str] | None = None
    dag_id: str | None = None
    run_id: str | None = None
    run_id_contains: str | None = None
    destination: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def leaves_nothing(self) -> bool:
        """Whether no row can be meant, so that no database need be asked."""
        if self.statuses is not None and not self.statuses:
            return True
        if self.dag_ids is not None:
            readable = {dag_id for dag_id in self.dag_ids if can_be_stored(dag_id)}
            if not readable or (self.dag_id is not None and self.dag_id not in readable):
                return True
        asked = (self.dag_id, self.run_id, self.run_id_contains, self.destination)
        return not all(text is None or can_be_stored(text) for text in asked)


EVERYTHING = EventFilter()


def can_be_stored(text: str) -> bool:
    """Say whether a row may hold this: PostgreSQL raises for NUL, and UTF-8 has no lone surrogates."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
