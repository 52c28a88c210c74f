"""What a database's rows say, in our words.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ringback_protocol import decode_event
from ringback_receiver._completion import Completion
from ringback_receiver._matching import PendingRequest, Transition
from ringback_receiver._store import Tracked

__all__ = ["completion_of", "tracked_of"]


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


def completion_of(body: bytes, transition: str, request_id: str, metadata: str) -> Completion:
    """Read what a handler is to be given."""
    return Completion(
        event=decode_event(body),
        request_id=request_id,
        metadata=msgspec.json.decode(metadata),
        revision=transition == Transition.REVISE.value,
        late=transition == Transition.LATE.value,
    )
