"""Bodies on their way: each bounded in size and time, all of them in number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver._preconditions import Refused

__all__ = ["Bodies"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""What an ASGI server hands out a request's body with (ASGI HTTP specification, "Request")."""


class _Body:
    """A body on its way.

    :param task: that reads it.
    :param until: when it must be there, on the event loop's clock.
    """

    __slots__ = ("refused", "task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float) -> None:
        self.task = task
        self.until = until
        self.refused: Refused | None = None

    def refuse(self, why: Refused) -> None:
        """Interrupt whoever reads it."""
        self.refused = why
        self.task.cancel()


class Bodies:
    """Read bodies; when there are too many, the one that is longest on its way gives way to the newest.

    A sender's body is there with its head or moments later, so those who give way are those who dawdle:
    however many of them there are, they keep nobody out.  That is also why they share one alarm: setting one
    for each takes longer than reading most of them.

    :param most: on their way at once.
    :param seconds: within which a body must be there.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._under_way: dict[_Body, None] = {}  # in the order of their time
        self._alarm_in: asyncio.AbstractEventLoop | None = None  # where one is set

    async def read(self, receive: Receive) -> bytes:
        """Return the whole body.

        :raises Refused: it is too large, too slow, cut short, or had to give way.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._make_room()
        body = _Body(task, loop.time() + self._seconds)
        self._under_way[body] = None
        if self._alarm_in is not loop:
            self._set_alarm(loop, body.until)
        try:
            return await _joined(receive)
        except asyncio.CancelledError:
            if body.refused is None or _cancelled_by_others_too(task):
                raise
            raise body.refused from None
        finally:
            self._under_way.pop(body, None)

    def _make_room(self) -> None:
        if len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.refuse(Refused(503, "too_many_bodies"))

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._alarm_in = loop
        loop.call_at(at, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse those whose time is over, and set the alarm for the next."""
        self._alarm_in = None
        while self._under_way:
            oldest = next(iter(self._under_way))
            if oldest.until > loop.time():
                self._set_alarm(loop, oldest.until)
                return
            del self._under_way[oldest]
            oldest.refuse(Refused(408, "too_slow"))


def _cancelled_by_others_too(task: asyncio.Task[Any]) -> bool:
    """Take our own cancellation back, as ``asyncio.timeout`` does; Python 3.10 does not count them."""
    return bool(getattr(task, "uncancel", lambda: 0)())


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
