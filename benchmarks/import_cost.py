"""What importing the notifier adds to a DAG file that imports ``airflow.sdk`` anyway.

Each sample is a fresh interpreter; the two variants alternate, so that a machine's moods hit both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks._figures import Figure, at_most, keep, spread

_PROGRAM = """
import json, sys, time
from airflow.sdk import DAG, BaseOperator, task, TaskGroup
{before}
start = time.perf_counter()
{measured}
print(json.dumps([(time.perf_counter() - start) * 1000, "httpx" in sys.modules, "fastapi" in sys.modules]))
"""
# What Airflow's DAG-parsing child has loaded before it looks at the first file.
_PARSING_CHILD = "import cryptography.hazmat.primitives.asymmetric.ed25519, httpx, msgspec, pydantic"
_VARIANTS = {
    "nothing": "pass",
    "ringback_notifier": "from ringback_notifier import CompletionNotifier, notify_completion",
}
GOALS = {"milliseconds": at_most(10.0)}


def sample(measured: str) -> float:
    """Return the milliseconds that one import took in a fresh interpreter."""
    program = _PROGRAM.format(before=_PARSING_CHILD, measured=measured)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])[0])


def main() -> None:
    """Print the figures and keep them; the exit code tells nothing, for timings are no test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=15, help="interpreters a variant (default: 15)")
    samples: dict[str, list[float]] = {name: [] for name in _VARIANTS}
    for _ in range(parser.parse_args().samples):
        for name, measured in _VARIANTS.items():
            samples[name].append(sample(measured))
    added = [ours - nothing for ours, nothing in zip(samples["ringback_notifier"], samples["nothing"], strict=True)]
    figure = Figure.of("import of the notifier, over airflow.sdk", added, "ms", GOALS["milliseconds"])
    milliseconds = {name: spread(values) for name, values in samples.items()}
    print(f"kept in {keep('import_cost', {'milliseconds': milliseconds}, [figure])}")


if __name__ == "__main__":
    main()
