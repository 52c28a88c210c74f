"""What a log line about an event says of it, on either side: ids that break no line, and nothing that is a secret."""

from __future__ import annotations

__all__ = ["LOG_FIELDS", "log_fields", "shown"]

LOG_FIELDS = ("event_id", "dag_id", "run_id", "destination", "outcome")
_LONGEST = 250  # Airflow's own bound on the ids of DAGs and runs


def shown(text: str | None) -> str:
    """Return a text as a log may show it: on one line, without control characters, bounded."""
    if text is None:
        return ""
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def log_fields(
    *, event_id: str | None, dag_id: str | None, run_id: str | None, destination: str | None, outcome: str
) -> dict[str, str]:
    """Return the fields of a log record: for ``extra=`` of the standard library, or keywords of structlog.

    :param outcome: one word, such as ``delivered`` or ``bad_signature``.
    """
    values = (event_id, dag_id, run_id, destination, outcome)
    return {name: shown(value) for name, value in zip(LOG_FIELDS, values, strict=True)}
