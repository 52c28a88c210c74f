"""W3C trace context: what may be called a ``traceparent``, and where an event carries one.

Sources: W3C Trace Context, section 3.2; CloudEvents, "Distributed Tracing" extension.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["TRACEPARENT", "is_traceparent", "trace_id_of", "traceparent_of"]

TRACEPARENT = "traceparent"
"""The header, the extension attribute of a CloudEvent, and the member of a callback request."""

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class _Traced(msgspec.Struct):
    """What of an event is read to find its trace."""

    traceparent: str | None = None


_DECODER = msgspec.json.Decoder(_Traced)


def is_traceparent(value: object) -> bool:
    """Tell whether a value is a ``traceparent`` of version 00: 55 characters, lower case, neither id all zeros."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def trace_id_of(traceparent: str) -> str:
    """Return the trace that a valid ``traceparent`` belongs to."""
    return traceparent[3:35]


def traceparent_of(body: bytes) -> str | None:
    """Return the ``traceparent`` of an encoded event, or ``None`` if it has none that is one.

    :param body: whatever lies in an outbox; nothing is raised.
    """
    try:
        found = _DECODER.decode(body).traceparent
    except Exception:  # no event, or one that only a defect or a stranger can have put there
        return None
    return found if is_traceparent(found) else None
