"""How long DAG callbacks may take together: the DAG processor kills a file's callbacks after 50 s."""

from __future__ import annotations

from collections import deque

__all__ = ["SharedBudget"]


class SharedBudget:
    """Seconds spent within a window of time, in one process.  Pure: the clock and the limits are arguments."""

    def __init__(self) -> None:
        self._spent: deque[tuple[float, float]] = deque()

    def left(self, now: float, *, total: float, window: float) -> float:
        """Return the seconds that may still be spent of ``total`` in any ``window`` seconds, never below zero."""
        while self._spent and self._spent[0][0] <= now - window:
            self._spent.popleft()
        return max(total - sum(seconds for _, seconds in self._spent), 0.0)

    def spend(self, seconds: float, now: float) -> None:
        """Record time that was spent, ending at ``now``."""
        self._spent.append((now, seconds))
