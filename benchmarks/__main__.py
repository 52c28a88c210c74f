"""Run every program of ``benchmarks/_programs.py``, one after the other, and show all their figures.

The whole version writes ``benchmarks/results`` and ``docs/benchmarks``; the quick one has too few rounds for that and
writes to ``build/bench-quick``.  The exit code is 1 if a program failed; a goal that falls short is a figure.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks._charts import draw
from benchmarks._figures import RESULTS
from benchmarks._one_program import Outcome, left_out, run
from benchmarks._programs import PROGRAMS, Program
from benchmarks._summary import table, write
from demo.local_airflow import terminated_as_interrupted

_ROOT = Path(__file__).parents[1]
_QUICK = _ROOT / "build" / "bench-quick"


def measured(programs: Sequence[Program], results: Path, *, quick: bool) -> list[Outcome]:
    """Run the programs in turn; keep the results of those that ran."""
    outcomes = []
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ringback-bench-") as folder:
        for program in programs:
            if quick and program.quick is None:
                outcomes.append(left_out(program.name))
                continue
            command = program.command(quick=quick)
            print(f"\n{' '.join(command)}", flush=True)
            outcome = run(program.name, command, limit=program.limit(quick=quick), results=Path(folder))
            if not outcome.failed:
                shutil.copy(Path(folder) / f"{program.name}.json", results)
            outcomes.append(outcome)
    return outcomes


def main() -> int:
    """Measure, print, keep, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="what takes a few minutes, with few rounds")
    quick: bool = parser.parse_args().quick
    results, charts = (_QUICK, _QUICK) if quick else (RESULTS, _ROOT / "docs" / "benchmarks")
    began = time.monotonic()
    with terminated_as_interrupted():
        outcomes = measured(PROGRAMS, results, quick=quick)
    latest = results / "latest.json"
    write(latest, outcomes, quick=quick)
    drawn = draw(outcomes, charts)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print("", table(outcomes))
    console.print(f"{(time.monotonic() - began) / 60:.1f} minutes; kept in {latest} and", *drawn)
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
