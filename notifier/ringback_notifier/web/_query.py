"""What a request asks for, read and bounded.  Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, get_args

from ringback_notifier.outbox import Cursor, EventFilter, Status

__all__ = ["BadQuery", "LIMIT", "cursor_of", "cursor_text", "filter_of", "is_event_id", "limit_of"]

LIMIT = 100
"""Rows on one page at most."""

_LONGEST = 250  # of a DAG's or a run's id, as Airflow has it
_DEFAULT_LIMIT = 50
_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST_TEXTS = {
    "dag_id": _LONGEST,
    "run_id": _LONGEST,
    "run_id_contains": _LONGEST,
    "destination": 64,
}
_KNOWN = {*_LONGEST_TEXTS, "since", "until", "status"}


class BadQuery(ValueError):
    """A request that cannot be understood; the message names the member."""


def filter_of(asked: Mapping[str, Any], *, dag_ids: frozenset[str] | None) -> EventFilter:
    """Return what is asked for, of the DAGs that the user may see.

    :param asked: ``status`` (names with commas between them), ``dag_id``, ``run_id``, ``run_id_contains``,
        ``destination``, ``since`` and ``until`` (Unix seconds); each may be missing or empty.
    :param dag_ids: ``None`` for every DAG.
    :raises BadQuery: for anything else.
    """
    if unknown := sorted(set(asked) - _KNOWN):
        raise BadQuery(f"there is no {unknown[0][:40]!r}; known are {', '.join(sorted(_KNOWN))}")
    return EventFilter(
        statuses=_statuses(asked.get("status")),
        dag_ids=dag_ids,
        dag_id=_text("dag_id", asked),
        run_id=_text("run_id", asked),
        run_id_contains=_text("run_id_contains", asked),
        destination=_text("destination", asked),
        since=_time("since", asked.get("since")),
        until=_time("until", asked.get("until")),
    )


def limit_of(text: str | None) -> int:
    """Return how many rows are wanted.

    :raises BadQuery: for what is no number from 1 to :data:`LIMIT`.
    """
    if not text:
        return _DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= LIMIT):
        raise BadQuery(f"limit must be a number from 1 to {LIMIT}")
    return int(text)


def cursor_text(cursor: Cursor | None) -> str | None:
    """Return a place in the list as the browser is given it."""
    return None if cursor is None else f"{cursor.created_at!r}~{cursor.event_id}"


def cursor_of(text: Any) -> Cursor | None:
    """Return the place that :func:`cursor_text` wrote down.

    :raises BadQuery: for anything else.
    """
    if not text:
        return None
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise BadQuery("after is not what a page's next was")
    moment, _, event_id = text.partition("~")
    created_at = _time("after", moment)
    if created_at is None or not is_event_id(event_id):
        raise BadQuery("after is not what a page's next was")
    return Cursor(created_at, event_id)


def is_event_id(text: str) -> bool:
    """Say whether this may be a row's id; no other need be looked for."""
    return _EVENT_ID.fullmatch(text) is not None


def _statuses(asked: Any) -> frozenset[Status] | None:
    if not asked:
        return None
    names = asked.split(",") if isinstance(asked, str) else []
    known: tuple[Status, ...] = get_args(Status)
    if not names or len(names) > len(known) or not set(names) <= set(known):
        raise BadQuery(f"status must be some of {', '.join(known)}, with commas between them")
    return frozenset(status for status in known if status in names)


def _text(name: str, asked: Mapping[str, Any]) -> str | None:
    text, longest = asked.get(name), _LONGEST_TEXTS[name]
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > longest:
        raise BadQuery(f"{name} must be a text of at most {longest} characters")
    return text


def _time(name: str, asked: Any) -> float | None:
    if asked is None or asked == "":
        return None
    try:
        moment = float(asked) if isinstance(asked, str | int | float) and not isinstance(asked, bool) else math.nan
    except (ValueError, OverflowError):
        moment = math.nan
    if not math.isfinite(moment):
        raise BadQuery(f"{name} must be a time in Unix seconds")
    return moment
