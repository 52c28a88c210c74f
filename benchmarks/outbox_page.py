"""How long a page of the outbox, and the numbers above it, take among a million events.

Both databases are filled with the same rows: a few busy DAGs and hundreds of quiet ones, most events delivered.  Then,
round by round in a random order, every kind of question is asked once: its first page, a page deep down, its counts;
and one row is looked up by its id, for comparison.

``--writes`` measures instead what the indexes for these questions cost a relay: events enqueued, leased and settled a
second, with them and with the narrower ones that would do without, in turns.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks._figures import Figure, at_most, keep, spread
from benchmarks._outbox_rows import DAGS, NOW, SPACING, fill
from benchmarks._outbox_writes import write_rates
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_notifier.outbox import Cursor, EventFilter, Outbox, migrate

GOALS = {"first page": at_most(100.0), "deep page": at_most(100.0), "counts": at_most(100.0)}
"""Milliseconds, for whatever is asked."""

_FEW = ["dag_10", "dag_300", "dag_498"]
_MANY = [f"dag_{number}" for number in range(DAGS)]

QUESTIONS = {
    "everything": EventFilter(),
    "status: dead": EventFilter(statuses=["dead"]),
    "status: delivered": EventFilter(statuses=["delivered"]),
    "status: hint": EventFilter(statuses=["hint"]),
    "three statuses": EventFilter(statuses=["dead", "gone", "refused"]),
    "status: due or dead": EventFilter(statuses=["due", "dead"]),
    "a busy DAG": EventFilter(dag_id="dag_0"),
    "a quiet DAG": EventFilter(dag_id="dag_498"),
    "no such DAG": EventFilter(dag_id="none"),
    "the usual destination": EventFilter(destination="default"),
    "a rare destination": EventFilter(destination="seldom"),
    "the last hour": EventFilter(since=NOW - 3_600),
    "a day long ago": EventFilter(since=NOW - 1_000_000, until=NOW - 913_600),
    "one run": EventFilter(run_id="scheduled__500001"),
    "text in most run ids": EventFilter(run_id_contains="scheduled"),
    "text in few run ids": EventFilter(run_id_contains="__99999"),
    "text in no run id": EventFilter(run_id_contains="nothing"),
    "a busy DAG, dead": EventFilter(dag_id="dag_0", statuses=["dead"]),
    "a quiet DAG, dead": EventFilter(dag_id="dag_498", statuses=["dead"]),
    "a busy DAG, text in no run id": EventFilter(dag_id="dag_0", run_id_contains="nothing"),
    "delivered, text in no run id": EventFilter(statuses=["delivered"], run_id_contains="nothing"),
    "dead, a rare destination": EventFilter(statuses=["dead"], destination="seldom"),
    "five at once": EventFilter(
        dag_id="dag_0", statuses=["dead", "gone"], destination="portal", run_id_contains="9", since=NOW - 1_500_000
    ),
    "3 of 500 DAGs": EventFilter(dag_ids=_FEW),
    "3 of 500 DAGs, dead": EventFilter(dag_ids=_FEW, statuses=["dead"]),
    "3 of 500 DAGs, text in no run id": EventFilter(dag_ids=_FEW, run_id_contains="nothing"),
    "the 400 busiest DAGs": EventFilter(dag_ids=_MANY[:400]),
    "the 400 quietest DAGs": EventFilter(dag_ids=_MANY[100:]),
    "400 of 500 DAGs, dead": EventFilter(dag_ids=_MANY[:400], statuses=["dead"]),
    "400 of 500 DAGs, text in no run id": EventFilter(dag_ids=_MANY[:400], run_id_contains="nothing"),
}


@contextlib.contextmanager
def outboxes(count: int) -> Iterator[dict[str, Outbox]]:
    """Fill one in each database."""
    with tempfile.TemporaryDirectory(prefix="ringback-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        postgres = stack.enter_context(LocalPostgres(folder / "postgres", free_port()))
        urls = {"SQLite": f"sqlite:///{folder / 'outbox.db'}", "PostgreSQL": postgres.create("outbox")}
        migrate(urls["PostgreSQL"])
        for url in urls.values():
            with contextlib.closing(Outbox.open(url, wait=900)) as outbox:
                fill(outbox, count)
        yield {
            database: stack.enter_context(contextlib.closing(Outbox.open(url, wait=900)))
            for database, url in urls.items()
        }


Taken = dict[tuple[str, str], dict[str, list[tuple[float, float]]]]
"""Milliseconds and the ratio to a look-up of the same round, by database and kind of answer, and by question."""


def page_times(count: int, rounds: int, seed: int) -> Taken:
    """Ask everything, round by round."""
    chance = random.Random(seed)
    deep = Cursor(NOW - 0.6 * count * SPACING, "")
    taken: Taken = {}
    with outboxes(count) as opened:
        asking: list[tuple[str, str, str, Callable[[], object]]] = []
        for database, outbox in opened.items():
            for name, asked in QUESTIONS.items():
                asking.append((database, "first page", name, partial(outbox.page, asked)))
                asking.append((database, "deep page", name, partial(outbox.page, asked, after=deep)))
                asking.append((database, "counts", name, partial(outbox.count, asked)))
        for number in range(rounds + 1):
            chance.shuffle(asking)
            known = [f"msg_{chance.randrange(count) + 1}" for _ in range(20)]
            one = {
                database: statistics.median(milliseconds(partial(outbox.status_of, event_id)) for event_id in known)
                for database, outbox in opened.items()
            }
            for database, kind, name, ask in asking:
                needed = milliseconds(ask)
                if number:  # the first opens connections and reads files
                    of = taken.setdefault((database, kind), {}).setdefault(name, [])
                    of.append((needed, needed / one[database]))
    return taken


def milliseconds(work: Callable[[], object]) -> float:
    """Do it, and return how long it took."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1_000


def main() -> None:
    """Print the table and keep the figures; the exit code tells nothing, for timings are no test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writes", action="store_true", help="measure what the indexes cost instead")
    arguments = parser.parse_args()
    if arguments.writes:
        with outboxes(arguments.events) as opened:
            rates = {database: write_rates(outbox, arguments.rounds) for database, outbox in opened.items()}
        details = {database: {which: spread(rates) for which, rates in of.items()} for database, of in rates.items()}
        figures = [
            Figure.of(f"{database}: events a second with these indexes ÷ without", of["ratio"])
            for database, of in rates.items()
        ]
        print(f"kept in {keep('outbox_writes', {'events': arguments.events, 'rates': details}, figures)}")
        return
    taken = page_times(arguments.events, arguments.rounds, arguments.seed)
    print(f"Milliseconds among {arguments.events:,} events, median [quartiles], and ratio to the look-up of one id:")
    details, figures = {}, []
    for (database, kind), of in sorted(taken.items()):
        print(f"{database}, {kind}:")
        medians = {}
        for name in QUESTIONS:
            needed, ratio = (spread(values) for values in zip(*of[name], strict=True))
            medians[name] = {"ms": round(needed["median"], 3), "ratio": round(ratio["median"], 2)}
            spoken = f"{needed['median']:6.1f} [{needed['low']:.1f} to {needed['high']:.1f}]"
            print(f"  {name:36} {spoken} {ratio['median']:7.1f}")
        details[f"{database}, {kind}"] = medians
        slowest = max(medians, key=lambda name: medians[name]["ms"])
        of_all = f"{database}, {kind}, the slowest of {len(QUESTIONS)} filters"
        milliseconds_of, ratios_of = ([value[part] for value in of[slowest]] for part in (0, 1))
        figures.append(Figure.of(f"{of_all} ({slowest})", milliseconds_of, "ms", GOALS[kind]))
        figures.append(Figure.of(f"{of_all} ÷ a look-up by id", ratios_of))
    print(f"  kept in {keep('outbox_page', {'events': arguments.events, 'median': details}, figures)}")


if __name__ == "__main__":
    main()
