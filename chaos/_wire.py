"""What reached the receiver's port, kept line by line so that it survives a ``kill -9`` of who wrote it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

__all__ = ["FAULTS", "Answered", "Fault", "Requested", "Wire", "read_wire"]

Fault = Literal[
    "passed through",
    "answered 500",
    "answered 429",
    "answered 503",
    "hung",
    "connection reset",
    "answer dropped",
    "receiver killed",
]

FAULTS: dict[Fault, float] = {
    "passed through": 57,
    "answered 500": 8,
    "answered 429": 6,
    "answered 503": 6,
    "hung": 6,
    "connection reset": 8,
    "answer dropped": 8,
    "receiver killed": 1,
}
"""What the front does with a request, and how often."""


class Requested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A request came in.

    :param at: Unix seconds.
    :param start_date: of the run, as the event says it.
    """

    number: str
    at: float
    fault: Fault
    event_id: str
    dag_id: str
    run_id: str
    state: str
    start_date: str | None
    reported_by: str


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The real receiver, behind the front, gave an answer, whether or not it got through."""

    number: str
    at: float
    status: int


class Wire:
    """Append to the file of one receiver's life."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._life = f"{os.getpid()}.{time.time_ns()}"
        self._count = 0

    def requested(self, fault: Fault, body: bytes) -> str:
        """Note a request, and return its number."""
        self._count += 1
        number = f"{self._life}.{self._count}"
        event: dict[str, Any] = msgspec.json.decode(body)
        data = event["data"]
        self._append(
            Requested(
                number=number,
                at=time.time(),
                fault=fault,
                event_id=event["id"],
                dag_id=data["dag_id"],
                run_id=data["run_id"],
                state=data["state"],
                start_date=data["start_date"],
                reported_by=data["reported_by"],
            )
        )
        return number

    def answered(self, number: str, status: int) -> None:
        """Note what the receiver behind the front answered."""
        self._append(Answered(number=number, at=time.time(), status=status))

    def _append(self, line: Requested | Answered) -> None:
        os.write(self._file, msgspec.json.encode(line) + b"\n")


def read_wire(path: Path) -> tuple[list[Requested], dict[str, int]]:
    """Return the requests in order, and the receiver's status by request number."""
    requests: list[Requested] = []
    statuses: dict[str, int] = {}
    if path.exists():
        for line in path.read_bytes().splitlines():
            entry = msgspec.json.decode(line, type=Requested | Answered)
            if isinstance(entry, Requested):
                requests.append(entry)
            else:
                statuses[entry.number] = entry.status
    return requests, statuses
