"""Bodies on their way: each bounded in size and time, all of them in number."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import Context
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

    __slots__ = ("cancelled_before", "refused", "task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float) -> None:
        self.task = task
        self.until = until
        self.refused: Refused | None = None
        self.cancelled_before = _cancellations(task)

    def refuse(self, why: Refused) -> None:
        """Interrupt whoever reads it."""
        self.refused = why
        self.task.cancel()

    def is_refused_by_us_alone(self) -> bool:
        """Take our own cancellation back, and tell whether there was no other, as ``asyncio.timeout`` does."""
        if self.refused is None:
            return False
        if hasattr(self.task, "uncancel"):  # from Python 3.11 on
            self.task.uncancel()
        return _cancellations(self.task) <= self.cancelled_before


class Bodies:
    """Read bodies; when there are too many, the one that is longest on its way gives way to the newest.

    A sender's body is there with its head or moments later, so those who give way are those who dawdle:
    however many of them there are, they keep nobody out.  That is also why they share one alarm: setting one
    for each takes longer than reading most of them.

    It is for one event loop at a time: if another one uses it, what the one before left is forgotten.

    :param most: on their way at once.
    :param seconds: within which a body must be there.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: dict[_Body, None] = {}  # in the order of their time
        self._alarm_is_set = False

    async def read(self, receive: Receive) -> bytes:
        """Return the whole body.

        :raises Refused: it is too large, too slow, cut short, or had to give way.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        if loop is not self._loop:
            self._loop, self._under_way, self._alarm_is_set = loop, {}, False
        self._make_room()
        body = _Body(task, loop.time() + self._seconds)
        under_way = self._under_way
        under_way[body] = None
        if not self._alarm_is_set:
            self._set_alarm(loop, body.until)
        try:
            return await _joined(receive, body)
        except asyncio.CancelledError:
            if not body.is_refused_by_us_alone():
                raise
            assert body.refused is not None
            raise body.refused from None
        finally:
            under_way.pop(body, None)

    def _make_room(self) -> None:
        if len(self._under_way) >= self._most:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.refuse(Refused(503, "too_many_bodies"))

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._alarm_is_set = True
        loop.call_at(at, self._ring, loop, context=Context())  # it is not only about this request

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse those whose time is over, and set the alarm for the next."""
        if loop is not self._loop:
            return
        self._alarm_is_set = False
        while self._under_way:
            oldest = next(iter(self._under_way))
            if oldest.until > loop.time():
                self._set_alarm(loop, oldest.until)
                return
            del self._under_way[oldest]
            oldest.refuse(Refused(408, "too_slow"))


def _cancellations(task: asyncio.Task[Any]) -> int:
    """Return how many were asked for and not taken back; Python 3.10 does not count them."""
    return task.cancelling() if hasattr(task, "cancelling") else 0


async def _joined(receive: Receive, body: _Body) -> bytes:
    joined = bytearray()
    while True:
        message = await receive()
        if body.refused is not None:  # and whatever received it has swallowed the cancellation
            raise asyncio.CancelledError
        if message["type"] == "http.disconnect":
            raise Refused(400, "incomplete")
        chunk = message.get("body", b"")
        if len(joined) + len(chunk) > MAX_EVENT_BYTES:
            raise Refused(413, "too_large")
        joined += chunk
        if not message.get("more_body", False):
            return bytes(joined)
