"""What a drain has done so far, and the report of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

__all__ = ["DrainReport", "Tally"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DrainReport:
    """What a drain has done.

    :param delivered: events that their receivers have.
    :param failed: attempts that failed.
    :param dead: events given up: the schedule is exhausted.
    :param gone: events whose receivers want no more of them.
    :param refused: events that no allow-list covers, and malformed callback requests.
    :param confirmed: hints that turned out true.
    :param swept: runs that sweeps looked at.
    :param enqueued: of those, endings that nobody had reported.
    :param api_errors: failed requests to Airflow.
    :param outbox_errors: failed requests to the outbox.
    :param last_error: what went wrong last, if anything did.
    :param stuck: what failed every time that it was tried.
    """

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    gone: int = 0
    refused: int = 0
    confirmed: int = 0
    swept: int = 0
    enqueued: int = 0
    api_errors: int = 0
    outbox_errors: int = 0
    last_error: str | None = None
    stuck: tuple[str, ...] = ()


@dataclass(kw_only=True, slots=True)
class Tally:
    """The same, as it grows."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    gone: int = 0
    refused: int = 0
    confirmed: int = 0
    swept: int = 0
    enqueued: int = 0
    api_errors: int = 0
    outbox_errors: int = 0
    last_error: str | None = None
    failed_at: set[str] = field(default_factory=set)
    succeeded_at: set[str] = field(default_factory=set)

    def report(self) -> DrainReport:
        """Return what has been done so far."""
        return DrainReport(
            **self.counts(), last_error=self.last_error, stuck=tuple(sorted(self.failed_at - self.succeeded_at))
        )

    def counts(self) -> dict[str, int]:
        """Return the numbers alone."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, int)}
