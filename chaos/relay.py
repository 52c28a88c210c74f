"""``ringback relay`` as it is, but for its retry schedule: days are made minutes, so that the proof has an end."""

from __future__ import annotations

import sys

from ringback_cli.main import main as ringback
from ringback_notifier.relay import _schedule

__all__ = ["SCHEDULE"]

SCHEDULE = (0.0, 5.0, 10.0, 15.0, *[20.0] * 40)
"""Seconds before each attempt."""


def main() -> None:
    """Run a relay."""
    vars(_schedule)["DELAYS"] = SCHEDULE
    sys.argv = ["ringback", "relay", "--verbose"]
    ringback()


if __name__ == "__main__":
    main()
