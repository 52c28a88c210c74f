"""How long DAG callbacks may take together: the DAG processor kills all callbacks of a file after 50 s."""

from __future__ import annotations

from collections import deque

__all__ = ["SharedBudget"]


class SharedBudget:
    """At most ``total`` seconds spent within any ``window`` seconds of one process.

    Pure: the clock is an argument.

    :param total: seconds.
    :param window: seconds.
    """

    def __init__(self, *, total: float, window: float) -> None:
        self._total = total
        self._window = window
        self._spent: deque[tuple[float, float]] = deque()

    def left(self, now: float) -> float:
        """Return the seconds that may still be spent, never below zero."""
        while self._spent and self._spent[0][0] <= now - self._window:
            self._spent.popleft()
        return max(self._total - sum(seconds for _, seconds in self._spent), 0.0)

    def spend(self, seconds: float, now: float) -> None:
        """Record time that was spent, ending at ``now``."""
        self._spent.append((now, seconds))
