"""What a database's rows say, in our words.  Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ringback_protocol import decode_event
from ringback_receiver._completion import Completion
from ringback_receiver._matching import PendingRequest, Transition
from ringback_receiver._store import Tracked
from ringback_receiver.errors import StoreError

__all__ = ["all_tracked", "by_id", "completion_of", "tracked_of"]

log = logging.getLogger("ringback_receiver")


def tracked_of(row: Sequence[Any]) -> Tracked:
    """Read a request's columns, in the order of :class:`PendingRequest`'s fields, and the body that resolved it."""
    *columns, body = row
    kept = dict(zip(PendingRequest.__struct_fields__, columns, strict=True))
    kept["metadata"] = msgspec.json.decode(kept["metadata"])
    kept["confirmed"] = bool(kept["confirmed"])  # SQLite has numbers only
    request = PendingRequest(**kept)
    if body is None:
        return Tracked(request=request)
    event = decode_event(body)
    completion = Completion(event=event, request_id=request.request_id, metadata=request.metadata)
    return Tracked(request=request, completion=completion)


def all_tracked(rows: Iterable[Sequence[Any]]) -> Iterator[Tracked]:
    """Read requests, without those that cannot be read: a newer release may be able to, and the others go on."""
    for row in rows:
        try:
            yield tracked_of(row)
        except (msgspec.MsgspecError, ValueError) as error:
            log.error("request %s cannot be read: %s", row[0], error)


def by_id(rows: Iterable[Sequence[Any]]) -> dict[str, Tracked]:
    """Read requests that somebody wants to see.

    :raises StoreError: one cannot be read; a newer release may be able to.
    """
    found = {}
    for row in rows:
        try:
            tracked = tracked_of(row)
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreError(f"request {row[0]} cannot be read: {error}") from error
        found[tracked.request.request_id] = tracked
    return found


def completion_of(body: bytes, transition: str, request_id: str, metadata: str) -> Completion:
    """Read what a handler is to be given."""
    return Completion(
        event=decode_event(body),
        request_id=request_id,
        metadata=msgspec.json.decode(metadata),
        revision=transition == Transition.REVISE.value,
        late=transition == Transition.LATE.value,
    )
