"""Which advisory locks keep an event and its request from missing each other.  Pure.

An event is parked when its request is not there, and a registration looks for parked events: were both under way at
once, neither would see the other.  So both lock what they have in common: the correlation id, or the DAG and run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

__all__ = ["SPACE", "by_correlation", "by_run", "in_order"]

SPACE = 0x72696E67  # "ring"
"""The first half of every key; other programs that use the database's advisory locks have others."""

_LOCKS = 64


def by_correlation(correlation_id: str) -> int:
    """Return the lock of a request id."""
    return zlib.crc32(correlation_id.encode()) % _LOCKS


def by_run(dag_id: str, run_id: str) -> int:
    """Return the lock of a run."""
    return zlib.crc32(f"{dag_id}\0{run_id}".encode()) % _LOCKS


def in_order(keys: Iterable[int]) -> list[int]:
    """Return the locks in the order in which everybody takes them."""
    return sorted(set(keys))
