"""What the command's exit code says; docs/cli.md has the same table, and a test compares them."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """Every code that ``ringback`` ends with."""

    DONE = 0, "Done; of `trigger --wait` and `wait`: the run succeeded."
    NOT_DONE = 1, "Not done, or nothing found, or something is wrong; the message says what."
    USAGE = 2, "The command line cannot be right; nothing was done."
    RUN_FAILED = 3, "The run ended, and not with success."
    TIMED_OUT = 4, "The run did not end within `--timeout`; it goes on."
    RUN_DELETED = 5, "The run is not there (any more): somebody deleted it before its end was known."
    UNREACHABLE = 6, "Airflow could not be reached; a run that was asked for may exist."
    INTERRUPTED = 130, "Ctrl-C; a run that was waited for goes on."

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        """Keep what a code means beside it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member
