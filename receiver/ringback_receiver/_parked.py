"""What the events that came before their request mean for it, once it is there.  Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringback_protocol import decode_event
from ringback_receiver._matching import PendingRequest, Transition, match
from ringback_receiver._recording import changes

__all__ = ["Taken", "take_parked"]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A parked event that has found its request."""

    event_id: str
    transition: Transition


def take_parked(request: PendingRequest, bodies: Iterable[bytes]) -> tuple[PendingRequest, list[Taken]]:
    """Let parked events make their transitions; return the request as it is after all of them.

    :param bodies: of the events, in the order of their arrival.
    """
    taken = []
    for body in bodies:
        event = decode_event(body)
        transition = match(request, event, seen=False)
        request = msgspec.structs.replace(request, **changes(request, transition, event.id))
        taken.append(Taken(event_id=event.id, transition=transition))
    return request, taken
