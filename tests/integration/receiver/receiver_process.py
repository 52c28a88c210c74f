"""A run of ``receiver_program.py`` in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["ReceiverProcess"]

PROGRAM = Path(__file__).with_name("receiver_program.py")


class ReceiverProcess:
    """One run."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen([sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def says(self) -> Any:
        """Return the next thing that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"ended with {self._process.wait()}"
        return json.loads(line)

    def kill(self) -> None:
        """Kill it as the kernel does when memory runs out."""
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
