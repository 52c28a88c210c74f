"""The outbox for an event loop: its calls run in one thread, one after the other."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from ringback_notifier.outbox import Outbox

__all__ = ["Database"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Database:
    """An outbox whose calls do not block the event loop.

    :param outbox: stays open when this is closed.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringback-outbox")

    async def call(
        self, method: Callable[Concatenate[Outbox, _P], _T], /, *arguments: _P.args, **options: _P.kwargs
    ) -> _T:
        """Call a method of the outbox, such as ``Outbox.lease``.

        A cancellation does not end the call, only the waiting for it.

        :raises OutboxError: as the method does.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, functools.partial(method, self._outbox, *arguments, **options))

    def close(self) -> None:
        """End the thread once it has nothing left to do."""
        self._thread.shutdown(wait=False)
