"""What a receiver tells whoever counts, such as :mod:`ringback_receiver.prometheus`.

Every method is called from the receiver's event loop, must return at once and must not raise.
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import msgspec

from ringback_protocol import CompletionEvent

__all__ = ["SILENT", "Backlog", "HandlerOutcome", "Observer"]

HandlerOutcome: TypeAlias = Literal["done", "failed", "given_up"]


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds that is not over, whoever made it; no number is counted further than asked for.

    :param pending: requests that are pending.
    :param overdue: of those, the ones that Airflow is to be asked about by now.
    :param oldest: when the oldest of those that were counted was made, Unix seconds.
    :param parked: events that no request matches yet.
    :param calls: handlers' turns that are due, now or later.
    :param failing: handlers' turns that failed and are not done, those given up included.
    """

    pending: int = 0
    overdue: int = 0
    oldest: float | None = None
    parked: int = 0
    calls: int = 0
    failing: int = 0


class Observer(Protocol):
    """Who is told."""

    def received(self, outcome: str) -> None:
        """Take note of a verified event that was sent to us: what became of it, or why it was put off."""

    def refused(self, reason: str) -> None:
        """Take note of a request that is no event for us."""

    def completed(self, event: CompletionEvent, at: float) -> None:
        """Take note that an event that was sent to us has resolved its request; ``at`` Unix seconds it is durable."""

    def committed(self, events: int) -> None:
        """Take note of a commit, and how many events shared it."""

    def handled(self, handler: str, outcome: HandlerOutcome) -> None:
        """Take note of a handler's turn that ended."""

    def waiting(self, events: int, limit: int) -> None:
        """Take note of how many events wait for the store, and how many may."""

    def backlog(self, backlog: Backlog, now: float) -> None:
        """Take note of what is not over."""


class _Silent:
    """Nobody counts."""

    def received(self, outcome: str) -> None: ...

    def refused(self, reason: str) -> None: ...

    def completed(self, event: CompletionEvent, at: float) -> None: ...

    def committed(self, events: int) -> None: ...

    def handled(self, handler: str, outcome: HandlerOutcome) -> None: ...

    def waiting(self, events: int, limit: int) -> None: ...

    def backlog(self, backlog: Backlog, now: float) -> None: ...


SILENT: Observer = _Silent()
