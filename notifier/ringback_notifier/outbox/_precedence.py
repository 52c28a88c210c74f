"""What a fast path's report changes in what is on record already.  Pure."""

from __future__ import annotations

from typing import Literal

from ringback_notifier.outbox._rows import Recorded, Status

__all__ = ["Change", "change_of"]

Change = Literal["everything", "body", "nothing"]

_FINAL = ("delivered", "gone")
_POORER = ("listener", "relay")  # they know neither a result nor the tasks that failed


def change_of(*, present: Status, built_by: str, new: Recorded, has_body: bool) -> Change:
    """Return how much of a row gives way.

    :param present: the row's status.
    :param built_by: who built the row's body.
    :param new: the status reported.
    :param has_body: whether the report brings one.
    """
    if present in _FINAL:
        return "nothing"
    if present == "hint" or new in _FINAL:
        return "everything"
    return "body" if built_by in _POORER and has_body else "nothing"
