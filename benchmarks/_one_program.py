"""Run one program, as a process with a time limit; its servers go with it, however it ends.

Started as ``python -m benchmarks._one_program MODULE …`` this module *is* that process: it takes SIGTERM as Ctrl-C, so
that what the program has started is stopped by the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks._figures import RESULTS_VARIABLE, Figure
from demo.local_airflow import terminated_as_interrupted

__all__ = ["LEFT_OUT", "RAN", "Outcome", "left_out", "run"]

RAN, LEFT_OUT = "ran", "not in the quick version"
_LEAVE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one program.

    :param said: ``RAN``, ``LEFT_OUT``, or how it failed.
    :param seconds: that it took.
    """

    name: str
    said: str
    command: tuple[str, ...] = ()
    seconds: float = 0.0
    figures: tuple[Figure, ...] = ()

    @property
    def failed(self) -> bool:
        """Say whether there should be figures, and are none."""
        return self.said not in (RAN, LEFT_OUT)

    def record(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return {
            "name": self.name,
            "outcome": self.said,
            "command": " ".join(self.command),
            "seconds": round(self.seconds, 1),
            "figures": [figure.record() for figure in self.figures],
        }


def left_out(name: str) -> Outcome:
    """Return the outcome of a program that was not run."""
    return Outcome(name=name, said=LEFT_OUT)


def run(name: str, command: Sequence[str], *, limit: float, results: Path) -> Outcome:
    """Run a program, whose output goes where ours goes, and read its figures.

    :param command: what follows ``python -m``.
    :param limit: seconds.
    :param results: a folder for its results, without any of an earlier run.
    """
    began = time.monotonic()
    said = _ended([sys.executable, "-m", __name__, *command], limit, {RESULTS_VARIABLE: str(results)})
    figures: tuple[Figure, ...] = ()
    if said == RAN:
        try:
            kept = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
            figures = tuple(Figure.parse(record) for record in kept["figures"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            said = f"failed: no figures ({type(error).__name__})"
    taken = time.monotonic() - began
    return Outcome(name=name, said=said, command=tuple(command), seconds=taken, figures=figures)


def _ended(command: Sequence[str], limit: float, settings: Mapping[str, str]) -> str:
    """Run a process to its end or its limit; return what to say of it."""
    # A group of its own, so that what it leaves behind can be found.
    with subprocess.Popen(command, env={**os.environ, **settings}, start_new_session=True) as process:
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f"failed: not done after {limit:.0f} s"
        finally:
            try:
                if process.poll() is None:
                    process.terminate()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_LEAVE_SECONDS)
            finally:
                _kill(process)
    return RAN if code == 0 else f"failed: exit code {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """``kill -9`` what is left of a program: an Airflow that it has started is in sessions of its own."""
    left: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def main() -> None:
    """Become a program."""
    _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    with terminated_as_interrupted():
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
