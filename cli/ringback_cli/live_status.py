"""What a command that waits shows meanwhile: a moving line on a terminal, else a line whenever something changes."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from ringback_cli.output import print_line, printable

__all__ = ["LiveStatus"]


class LiveStatus:
    """Shows, on standard error, what is being waited for."""

    def __init__(self, what: str) -> None:
        self._what = printable(what)
        self._progress: Any = None
        self._task: Any = None

    def __enter__(self) -> LiveStatus:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._progress.add_task(self._what, total=None)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, state: str) -> None:
        """Show another state."""
        if self._progress is None:
            print_line(f"{self._what}: {state}", err=True)
        else:
            self._progress.update(self._task, description=f"{self._what}: {printable(state)}")
