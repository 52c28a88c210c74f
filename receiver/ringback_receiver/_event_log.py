"""One line for what became of an event, readable by people, with fields for machines."""

from __future__ import annotations

import logging

from ringback_protocol import CompletionEvent
from ringback_protocol.log_fields import log_fields

__all__ = ["log_event"]


def log_event(
    log: logging.Logger,
    level: int,
    event: CompletionEvent,
    outcome: str,
    *,
    destination: str,
    said: str | None = None,
    error: BaseException | None = None,
) -> None:
    """Write the line.

    :param outcome: one word.
    :param destination: whose keys sign.
    :param said: more than that one word, for people; nothing of the event's body.
    :param error: with its trace.
    """
    fields = log_fields(
        event_id=event.id,
        dag_id=event.data.dag_id,
        run_id=event.data.run_id,
        destination=destination,
        outcome=outcome,
    )
    log.log(
        level,
        "event %s of run %s of DAG %s: %s",
        fields["event_id"],
        fields["run_id"],
        fields["dag_id"],
        said or fields["outcome"],
        extra=fields,
        exc_info=error,
    )
