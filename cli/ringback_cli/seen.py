"""What ``ringback listen`` has seen: one request, and what came of it, for people and for programs.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ringback_cli.captured import request_member
from ringback_protocol import CompletionEvent

__all__ = ["Forwarded", "Seen"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Forwarded:
    """What became of an event that was passed on.

    :param status: of the answer, or ``None`` if there was none.
    :param error: why there was none.
    """

    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One request, and what came of it.

    :param verdict: ``verified``, or the code of what is wrong.
    :param said: what is wrong, in words.
    :param status: that it was answered with.
    """

    received_at: float
    verdict: str
    status: int
    said: str = ""
    event: CompletionEvent | None = None
    forwarded: Forwarded | None = None
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""

    def line(self) -> str:
        """Return it for people."""
        moment = datetime.fromtimestamp(self.received_at, timezone.utc).strftime("%H:%M:%SZ")
        if self.event is None:
            return f"{moment}  {self.status}  refused: {self.verdict}: {self.said}"
        data = self.event.data
        told = "  ".join((self.event.type, data.dag_id, data.run_id, data.state, f"by {data.reported_by}", "verified"))
        passed = ""
        if self.forwarded is not None:
            passed = f"  forwarded: {self.forwarded.status or self.forwarded.error}"
        return f"{moment}  {self.status}  {told}{passed}"

    def members(self) -> dict[str, Any]:
        """Return it for programs."""
        data = self.event.data if self.event is not None else None
        return {
            "received_at": self.received_at,
            "verdict": self.verdict,
            "said": self.said,
            "status": self.status,
            "type": self.event.type if self.event is not None else None,
            "dag_id": data and data.dag_id,
            "run_id": data and data.run_id,
            "state": data and data.state,
            "reported_by": data and data.reported_by,
            "forwarded": self.forwarded,
            "request": request_member(self.headers, self.body),
        }
