"""Other processes at an outbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["Process", "run_together"]

PROGRAM = Path(__file__).with_name("outbox_program.py")


class Process:
    """One that runs ``outbox_program.py``."""

    def __init__(self, action: str, url: str, name: str = "other") -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), action, url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self.end()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> tuple[int, list[str], str]:
        """Return the exit code, the lines printed since, and the standard error."""
        try:
            output, errors = self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
        return self._process.returncode, output.splitlines(), errors


def run_together(action: str, url: str, count: int) -> list[list[str]]:
    """Start processes, let them go at the same moment, and return the lines that each printed."""
    processes = [Process(action, url, str(number)) for number in range(count)]
    for process in processes:
        process.wait_until_ready()
    for process in processes:
        process.go()
    ends = [process.end() for process in processes]
    assert [code for code, _, _ in ends] == [0] * count, [errors for _, _, errors in ends]
    return [lines for _, lines, _ in ends]
