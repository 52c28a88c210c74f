"""Bodies on their way: each bounded in size and time, all of them in number."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver._preconditions import Refused

__all__ = ["Bodies"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""What an ASGI server hands out a request's body with (ASGI HTTP specification, "Request")."""


class Bodies:
    """Read bodies; when there are too many, the one that is longest on its way gives way to the newest.

    A sender's body is there with its head or moments later, so those who give way are those who dawdle:
    however many of them there are, they keep nobody out.

    :param most: on their way at once.
    :param seconds: within which a body must be there.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._under_way: dict[anyio.CancelScope, None] = {}

    async def read(self, receive: Receive) -> bytes:
        """Return the whole body.

        :raises Refused: it is too large, too slow, cut short, or had to give way.
        """
        with anyio.move_on_after(self._seconds) as scope:
            self._make_room()
            self._under_way[scope] = None
            try:
                return await _joined(receive)
            finally:
                gave_way = scope not in self._under_way
                self._under_way.pop(scope, None)
        raise Refused(503, "too_many_bodies") if gave_way else Refused(408, "too_slow")

    def _make_room(self) -> None:
        if len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()


async def _joined(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete")
        chunk = message.get("body", b"")
        if len(body) + len(chunk) > MAX_EVENT_BYTES:
            raise Refused(413, "too_large")
        body += chunk
        if not message.get("more_body", False):
            return bytes(body)
