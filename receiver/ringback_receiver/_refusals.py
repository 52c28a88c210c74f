"""What the log is told of refusals, so that no stranger fills it: one line, and then a count a minute.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ringback_protocol.signing import HEADER_ID, ID_FORM
from ringback_protocol.verifying import Headers
from ringback_receiver._headers import first_header

__all__ = ["Refusals", "claimed_id"]

EVERY = 60.0
"""Seconds in which a reason gets one line of its own, and one that counts the rest."""


@dataclass(slots=True)
class _Spell:
    """A minute of one reason."""

    begun: float
    unsaid: int = 0


class Refusals:
    """Decide which refusals get a line.  Times are seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._spells: dict[str, _Spell] = {}

    def is_news(self, reason: str, now: float) -> bool:
        """Note a refusal, and tell whether it is the first of its reason for a minute.

        :param reason: one of few codes.
        """
        if reason not in self._spells:
            self._spells[reason] = _Spell(begun=now)
            return True
        self._spells[reason].unsaid += 1
        return False

    def summaries(self, now: float) -> Sequence[str]:
        """Say how many refusals got no line, for every minute that is over; ``inf`` is the end of all."""
        return list(self._summaries(now)) if self._spells else ()  # it is asked for each event

    def _summaries(self, now: float) -> Iterator[str]:
        for reason, spell in list(self._spells.items()):
            if now - spell.begun >= EVERY:
                del self._spells[reason]
                if spell.unsaid:
                    yield f"requests refused: {reason}: {spell.unsaid} more since the last such line"


def claimed_id(headers: Headers) -> str | None:
    """Return the event id that a refused request claims, if it has the form of one: anybody may claim it."""
    claimed = first_header(headers, HEADER_ID)
    return claimed if claimed is not None and ID_FORM.fullmatch(claimed) else None
