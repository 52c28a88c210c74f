"""Which functions want to know of completions, under which names."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from ringback_receiver._completion import Completion
from ringback_receiver._handler_thread import HandlerThread
from ringback_receiver.errors import ConfigurationError, GiveUp

__all__ = [
    "DEFAULT_TIMEOUT",
    "FIRST_BACKOFF",
    "LONGEST_BACKOFF",
    "HandlerFunction",
    "Handlers",
    "backoff",
    "delay_after",
    "describe",
]

HandlerFunction: TypeAlias = Callable[[Completion], object]

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 3_600.0
"""Seconds until a handler that failed is tried again: doubled each time, up to an hour, without end."""

DEFAULT_TIMEOUT = 3_600.0
"""Seconds after which a handler has failed, unless it says otherwise."""

_GRACE = 1.0
"""Seconds that a handler is given to end after it was cancelled."""
_MOST_OVERRUNS = 3
"""Calls of a synchronous handler that go on past its timeout; while there are so many it gets no more turns here."""
_ERROR_CHARS = 1_000

log = logging.getLogger("ringback_receiver")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Registered:
    function: HandlerFunction
    timeout: float | None
    max_attempts: int | None


class Handlers:
    """Functions by name.  A name is what the store knows a handler by, so it must survive a restart."""

    def __init__(self) -> None:
        self._registered: dict[str, _Registered] = {}
        self._dags: dict[str, set[str | None]] = {}
        self._overrunning: dict[str, list[HandlerThread]] = {}

    def add(
        self,
        function: HandlerFunction,
        *,
        dag_id: str | None,
        name: str | None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_attempts: int | None = None,
    ) -> None:
        """Register a function for one DAG, or for all.

        :param name: by default ``module.qualname``.
        :param timeout: seconds after which a call has failed; ``None`` for never.
        :param max_attempts: after which a turn is given up; ``None`` for never.
        :raises ConfigurationError: it has no name, another function or other options have the same, or an option
            cannot be right.
        """
        if timeout is not None and not timeout > 0:
            raise ConfigurationError("timeout must be more than 0 seconds, or None")
        if max_attempts is not None and max_attempts < 1:
            raise ConfigurationError("max_attempts must be at least 1, or None")
        name = name or _name_of(function)
        registered = _Registered(function=function, timeout=timeout, max_attempts=max_attempts)
        # Not `is not`: a bound method is another object each time it is looked up.
        if self._registered.setdefault(name, registered) != registered:
            raise ConfigurationError(
                f"two handlers are called {name!r}, or one with two sets of options: give one another name="
            )
        self._dags.setdefault(name, set()).add(dag_id)

    @property
    def names(self) -> list[str]:
        """All names."""
        return list(self._registered)

    def ready(self) -> list[str]:
        """Return the names of those who may have a turn now."""
        for name, threads in list(self._overrunning.items()):
            self._overrunning[name] = [thread for thread in threads if thread.alive]
        return [name for name in self._registered if len(self._overrunning.get(name, ())) < _MOST_OVERRUNS]

    def names_for(self, dag_id: str) -> list[str]:
        """Return the names of those who want to know of this DAG."""
        return [name for name, dags in self._dags.items() if dag_id in dags or None in dags]

    def max_attempts(self, name: str) -> int | None:
        """Return after how many attempts a handler's turn is given up."""
        return self._registered[name].max_attempts

    async def call(self, name: str, completion: Completion) -> None:
        """Run a handler, an asynchronous one here, another in a thread, and wait for its end within its timeout.

        :raises TimeoutError: it did not end in time.  One in a thread cannot be stopped: it goes on.
        """
        registered = self._registered[name]
        thread = None
        if not _is_async(registered.function):
            thread = HandlerThread(registered.function, completion, name=f"ringback-handler {name}")
        if not await _ended(_outcome(registered.function, completion, thread), registered.timeout):
            if thread is not None and thread.alive:
                self._note_overrun(name, thread)
            raise TimeoutError(f"it did not end within {registered.timeout:g} s")

    def _note_overrun(self, name: str, thread: HandlerThread) -> None:
        threads = self._overrunning.setdefault(name, [])
        threads.append(thread)
        if len(threads) == _MOST_OVERRUNS:
            log.error("handler %s: %d calls never ended; it gets no more turns here until one does", name, len(threads))


async def _outcome(function: HandlerFunction, completion: Completion, thread: HandlerThread | None) -> None:
    try:
        outcome = function(completion) if thread is None else await thread.run()
        if inspect.isawaitable(outcome):
            await outcome
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        # asyncio would take them for the end of the whole loop.
        raise RuntimeError(f"it raised {type(error).__name__}: {error}") from error


async def _ended(call: Coroutine[Any, Any, None], timeout: float | None) -> bool:
    """Wait for a call, raise what it raises, and tell whether it ended in time.

    Not ``asyncio.wait_for``, which waits for ever for one that does not let itself be cancelled.
    """
    task = asyncio.ensure_future(call)
    try:
        await asyncio.wait([task], timeout=timeout)
        if task.done():
            task.result()
            return True
        return False
    finally:
        if not task.done():
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody else asks
            task.cancel()
            await asyncio.wait([task], timeout=_GRACE)


def delay_after(error: BaseException, *, attempts: int, max_attempts: int | None, chance: float) -> float | None:
    """Decide when a turn that failed comes again: in so many seconds, or ``None`` if it is given up.

    :param attempts: how many have failed, this one included.
    :param chance: a random number in [0, 1).
    """
    if isinstance(error, GiveUp) or (max_attempts is not None and attempts >= max_attempts):
        return None
    return backoff(attempts, chance)


def backoff(attempts: int, chance: float) -> float:
    """Return the seconds until the next attempt: between half of and the whole current delay.

    :param attempts: how many have failed, at least 1.
    :param chance: a random number in [0, 1).
    """
    delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(attempts - 1, 20))
    return delay * (1 + chance) / 2


def describe(error: BaseException) -> str:
    """Return an exception's type and message, bounded."""
    text = f"{type(error).__name__}: {error}"[:_ERROR_CHARS]
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair can be stored nowhere


def _name_of(function: HandlerFunction) -> str:
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not qualname:
        raise ConfigurationError(f"{function!r} has no name of its own: give it one with name=")
    return f"{module}.{qualname}"


def _is_async(function: HandlerFunction) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is a coroutine function
    )
