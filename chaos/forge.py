"""The proof against forgery: a million mutated events, of which the verifier must believe none.

A mutation that leaves what was signed as it was (see ``is_still_what_was_signed``) is no forgery, and is
counted apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from benchmarks._figures import keep
from chaos._forge_trial import Trial, try_forgeries

_SAY_SECONDS = 15.0


def main() -> int:
    """Run the proof; 0 if all holds."""
    parser = argparse.ArgumentParser(prog="python -m chaos.forge", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    arguments = parser.parse_args()
    print(f"forge: {arguments.events} mutated events, seed {arguments.seed}", flush=True)
    trial = try_forgeries(arguments.seed, arguments.events, _progress())
    print("\n".join(_described(trial)))
    found = {
        "seed": arguments.seed,
        "events": arguments.events,
        "believed": sum(trial.forged.values()),
        "refused_by_reason": dict(_by_reason(trial)),
        "refused_by_kind": {kind: sum(reasons.values()) for kind, reasons in trial.refused.items()},
        "still_what_was_signed": dict(trial.unchanged),
        "of_these_accepted": dict(trial.accepted),
    }
    print(f"kept in {keep('forge', found)}")
    for line in trial.shown:
        print(f"WRONG {line}")
    print(f"{'It does NOT hold' if trial.forged else 'No forgery was believed'}, seed {arguments.seed}.")
    return 1 if trial.forged else 0


def _progress() -> Callable[[int], None]:
    said = time.monotonic()

    def say(done: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _SAY_SECONDS:
            said = time.monotonic()
            print(f"  {done} tried", flush=True)

    return say


def _by_reason(trial: Trial) -> Counter[str]:
    return sum(trial.refused.values(), Counter())


def _described(trial: Trial) -> Iterator[str]:
    yield f"  {'mutation':40} {'refused':>8} {'no change':>10} {'of these accepted':>18}"
    for kind in sorted({*trial.refused, *trial.unchanged}):
        refused = sum(trial.refused.get(kind, Counter()).values())
        yield f"  {kind:40} {refused:8} {trial.unchanged[kind]:10} {trial.accepted[kind]:18}"
    for reason, count in _by_reason(trial).most_common():
        yield f"  refused as {reason}: {count}"
    for what, count in trial.forged.most_common():
        yield f"  WRONG {what}: {count}"


if __name__ == "__main__":
    sys.exit(main())
