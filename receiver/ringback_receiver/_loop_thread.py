"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from ringback_receiver.errors import ReceiverNotOpen

__all__ = ["LoopThread"]

T = TypeVar("T")

_LOOK = 1.0
"""Seconds between two looks whether the loop that is waited for is still there."""

_GRACE = 5.0
"""Seconds that what is cancelled is given to end; what will not is left behind."""


class LoopThread:
    """Run coroutines for other threads.

    A daemon: a script that forgets to stop it ends all the same.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name="ringback-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns or raise what it raises; whoever is interrupted meanwhile cancels it.

        :raises RuntimeError: this is the loop's own thread, which would wait for itself.
        :raises ReceiverNotOpen: the loop is no more.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("this would block the receiver's own loop: make the handler a plain function, not async")
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise ReceiverNotOpen from None
        try:
            while not concurrent.futures.wait([future], timeout=_LOOK).done:
                if not self._thread.is_alive():
                    raise ReceiverNotOpen
            return future.result()
        except concurrent.futures.CancelledError:  # by `stop`
            raise ReceiverNotOpen from None
        finally:
            future.cancel()

    def stop(self) -> None:
        """Cancel what is under way, and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=_GRACE))
            self._loop.run_until_complete(asyncio.wait_for(self._loop.shutdown_asyncgens(), _GRACE))
        finally:
            self._loop.close()
