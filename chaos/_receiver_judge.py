"""What a store must hold after everything, and does not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg

__all__ = ["rows_of", "violations"]

_EVENTS = "SELECT event_id, request_id, transition FROM events"
_REQUESTS = "SELECT request_id, state, event_id FROM requests WHERE state <> 'pending'"


def rows_of(store: str) -> tuple[list[Any], list[Any]]:
    """Return the store's events, and its requests that are settled."""
    if store.startswith("postgresql"):
        with psycopg.connect(store, options="-c search_path=ringback") as connection:
            return connection.execute(_EVENTS).fetchall(), connection.execute(_REQUESTS).fetchall()
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as file:
        return file.execute(_EVENTS).fetchall(), file.execute(_REQUESTS).fetchall()


def violations(acknowledged: Mapping[str, str], events: list[Any], requests: list[Any]) -> Iterator[str]:
    """Say what is wrong.

    :param acknowledged: request ids by event id.
    """
    recorded = {event_id: (request_id, transition) for event_id, request_id, transition in events}
    settled = {request_id: (state, event_id) for request_id, state, event_id in requests}
    for event_id, request_id in acknowledged.items():
        if event_id not in recorded:
            yield f"lost: {event_id} of {request_id} was acknowledged"
        elif settled.get(request_id, ("pending",))[0] != "resolved":
            yield f"not resolved: {request_id}, though {event_id} was acknowledged"
    resolving: dict[str, str] = {}
    for event_id, (request_id, transition) in recorded.items():
        if transition == "resolved":
            if request_id in resolving:
                yield f"resolved twice: {request_id}, by {resolving[request_id]} and {event_id}"
            resolving[request_id] = event_id
        elif transition != "revised":
            yield f"{event_id} of {request_id} is {transition}"
    for request_id, (state, event_id) in settled.items():
        if state != "resolved" or resolving.get(request_id) != event_id:
            yield f"{request_id} is {state} by {event_id}, and its resolving event is {resolving.get(request_id)}"
