"""The chaos proof: hundreds of runs, every ending, everything killed at random, a receiver that misbehaves.

Every run that ends must resolve its caller's request once, with the state that Airflow has.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from benchmarks._figures import keep
from chaos._calls import Airflow
from chaos._evidence import Evidence, gather, outbox_counts, outbox_left, outbox_of
from chaos._judge import judge, unreported
from chaos._killer import Killer
from chaos._players import Players
from chaos._scene import PlayedRun
from chaos._stage import Stage, stage
from chaos._summary import described, figures, known_about
from chaos._truth import Truth
from demo.local_airflow import terminated_as_interrupted

_QUICK_RUNS = 40
_SAY_SECONDS = 15.0
_WELL_SECONDS = 300.0
_QUIET_SECONDS = 900.0
_ENOUGH = 0.8
_AFTERWARDS_SECONDS = 40.0
"""Two sweeps and more: time in which something could still come that must not."""


def main() -> int:
    """Run the proof; 0 if all holds."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument("--minutes", type=float, default=90, help="after which no run is begun")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs; it is kept on failure")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_RUNS} runs")
    arguments = parser.parse_args()
    runs = _QUICK_RUNS if arguments.quick else arguments.runs
    folder = Path(tempfile.mkdtemp(prefix="ringback-chaos-"))
    print(f"chaos: {runs} runs, seed {arguments.seed}, in {folder}", flush=True)
    holds = stopped = False
    try:
        with terminated_as_interrupted():
            holds = prove(folder, runs, arguments.seed, arguments.minutes)
    except KeyboardInterrupt:
        stopped = True
        print("stopped")
    finally:
        if arguments.keep or not (holds or stopped):
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if holds else 1


def prove(folder: Path, count: int, seed: int, minutes: float) -> bool:
    """Play, kill, calm down, wait, judge; tell whether all holds."""
    began = time.monotonic()
    with stage(folder, seed, lambda what: print(f"  {what}", flush=True)) as here:
        truth = Truth(here.database)
        truth.watch()
        stop = threading.Event()
        killer = Killer(here.parts, random.Random(f"{seed}/killer"))
        players = Players(
            count=count,
            seed=seed,
            deadline=began + minutes * 60,
            airflow=Airflow(here.airflow, stop),
            truth=truth,
            receiver_port=here.receiver_port,
            folder=folder,
            stop=stop,
        )
        killer.start()
        try:
            killer.rage()
            players.play(_progress(killer))
            killer.rest()
            here.files.calm.touch()
            print("  all runs are over; waiting until all is well and quiet", flush=True)
            _until(lambda: killer.all_well, _WELL_SECONDS, killer)
            calm = time.monotonic()
            quiet = _until(lambda: _is_quiet(here, players.begun, truth), _QUIET_SECONDS, killer)
            print(f"  {'quiet' if quiet else 'not quiet'} {time.monotonic() - calm:.0f} s later", flush=True)
            time.sleep(_AFTERWARDS_SECONDS)
            evidence = gather(players.begun, truth, here.files, killer.strikes, killer.deaths)
            return _conclude(here, evidence, seed=seed, quiet=quiet, minutes=(time.monotonic() - began) / 60)
        finally:
            stop.set()
            killer.leave()


def _progress(killer: Killer) -> Callable[[int, int], None]:
    said = time.monotonic()

    def say(begun: int, ended: int) -> None:
        nonlocal said
        if killer.error is not None:
            raise RuntimeError("a part could not be started again") from killer.error
        if time.monotonic() - said >= _SAY_SECONDS:
            said = time.monotonic()
            print(f"  {begun} runs begun, {ended} over; {len(killer.strikes)} kills", flush=True)

    return say


def _until(condition: Callable[[], bool], seconds: float, killer: Killer) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if killer.error is not None:
            raise RuntimeError("a part could not be started again") from killer.error
        with contextlib.suppress(psycopg.Error):
            if condition():
                return True
        time.sleep(2)
    return False


def _is_quiet(here: Stage, runs: list[PlayedRun], truth: Truth) -> bool:
    return outbox_left(here.outbox) == 0 and not unreported(gather(runs, truth, here.files, (), {}))


def _conclude(here: Stage, evidence: Evidence, *, seed: int, quiet: bool, minutes: float) -> bool:
    verdict = judge(evidence)
    found = {"seed": seed, "minutes": round(minutes, 1), "quiet": quiet, **figures(evidence, verdict)}
    found["outbox"] = outbox_counts(here.outbox)
    print("\n".join(described(found, evidence)))
    print(f"  outbox in the end: {found['outbox']}")
    for violation in verdict.violations:
        print(f"WRONG {violation.run_id}: {violation.what}")
    for run_id in dict.fromkeys(violation.run_id for violation in verdict.violations):
        print(f"--- {run_id}")
        for line in (*known_about(evidence, run_id), *outbox_of(here.outbox, run_id)):
            print(f"    {line}")
    ended = sum(state.ended for state in evidence.now.values())
    enough = ended >= _ENOUGH * len(evidence.runs) > 0
    if not enough:
        print(f"WRONG: only {ended} of {len(evidence.runs)} runs have ended, which proves little")
    holds = not verdict.violations and quiet and enough
    print(f"kept in {keep('chaos', found)}")
    print(f"{'All holds' if holds else 'It does NOT hold'}, seed {seed}, {minutes:.0f} minutes.")
    return holds


if __name__ == "__main__":
    sys.exit(main())
