"""A thread for one call of a synchronous handler.

Not one of a pool: a handler that never ends would hold a pool's thread for ever, and Python would wait for it at exit.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["HandlerThread"]


class HandlerThread:
    """Call a function in a daemon thread.

    :param name: of the thread.
    """

    def __init__(self, function: Callable[[Any], object], argument: object, *, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcome: asyncio.Future[tuple[object, BaseException | None]] = self._loop.create_future()
        call = (contextvars.copy_context(), function, argument)
        self._thread = threading.Thread(target=self._work, args=call, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the function is still at work."""
        return self._thread.is_alive()

    async def run(self) -> object:
        """Start it, and return what it returns or raise what it raises; cancelling this does not stop it."""
        self._thread.start()
        value, error = await self._outcome
        if error is not None:
            raise error
        return value

    def _work(self, context: contextvars.Context, function: Callable[[Any], object], argument: object) -> None:
        value: object = None
        failure: BaseException | None = None
        try:
            value = context.run(function, argument)
        except BaseException as error:  # a SystemExit of its own is a failure like any other
            failure = error
        try:
            self._loop.call_soon_threadsafe(self._settle, value, failure)
        except RuntimeError:  # the loop is closed, and nobody wants to know
            return

    def _settle(self, value: object, failure: BaseException | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result((value, failure))
