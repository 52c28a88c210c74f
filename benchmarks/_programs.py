"""Every program of ``make bench``, in the order in which they run: a new one is a line here."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PROGRAMS", "Program"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A module of this package that measures and calls ``keep`` with its figures.

    :param name: of its results: the file that ``keep`` writes.
    :param module: in ``benchmarks``; as the name, if not said.
    :param arguments: for the whole measurement.
    :param quick: arguments for the quick version; nothing leaves the program out of it.
    :param seconds: after which it is stopped and has failed; a quick one after a fifth.
    """

    name: str
    module: str = ""
    arguments: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = None
    seconds: float = 600.0

    def command(self, *, quick: bool) -> list[str]:
        """Return what follows ``python -m``."""
        arguments = self.quick if quick and self.quick is not None else self.arguments
        return [f"benchmarks.{self.module or self.name}", *arguments]

    def limit(self, *, quick: bool) -> float:
        """Return how many seconds it may take."""
        return self.seconds / 5 if quick else self.seconds


PROGRAMS = (
    Program(name="receiver_throughput", quick=("--rounds", "3", "--events", "400"), seconds=1_200),
    Program(name="receiver_verify", quick=("--rounds", "8", "--count", "500")),
    Program(name="receiver_match", quick=("--rounds", "5", "--many", "100000")),
    Program(name="receiver_waiters", quick=("--waiters", "2000", "--rounds", "2", "--samples", "100")),
    Program(name="guard_overhead", quick=("--rounds", "8")),
    Program(name="import_cost", quick=("--samples", "3")),
    Program(name="listener_cost", quick=("--calls", "300")),
    Program(name="slow_clients", quick=("--rounds", "2", "--samples", "25")),
    Program(name="postgres_drivers", quick=("--rounds", "3")),
    Program(name="relay_throughput", quick=("--rounds", "2", "--events", "600")),
    Program(name="outbox_page", quick=("--events", "100000", "--rounds", "3"), seconds=1_200),
    Program(name="outbox_writes", module="outbox_page", arguments=("--writes", "--events", "200000", "--rounds", "5")),
    # These start an Airflow.
    Program(name="relay_sweep", module="relay_throughput", arguments=("--sweep",)),
    Program(name="ring_latency", seconds=1_200),
    Program(name="api_load", seconds=1_800),
)
