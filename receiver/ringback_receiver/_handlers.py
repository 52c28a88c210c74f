"""Which functions want to know of completions, under which names."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TypeAlias

from ringback_receiver._completion import Completion
from ringback_receiver.errors import ConfigurationError

__all__ = ["FIRST_BACKOFF", "LONGEST_BACKOFF", "HandlerFunction", "Handlers", "backoff", "describe"]

HandlerFunction: TypeAlias = Callable[[Completion], object]

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 3_600.0
"""Seconds until a handler that failed is tried again: doubled each time, up to an hour, without end."""

_ERROR_CHARS = 1_000


class Handlers:
    """Functions by name.  A name is what the store knows a handler by, so it must survive a restart."""

    def __init__(self) -> None:
        self._functions: dict[str, HandlerFunction] = {}
        self._dags: dict[str, set[str | None]] = {}

    def add(self, function: HandlerFunction, *, dag_id: str | None, name: str | None) -> None:
        """Register a function for one DAG, or for all.

        :param name: by default ``module.qualname``.
        :raises ConfigurationError: it has no name, or another function has the same.
        """
        name = name or _name_of(function)
        # Not `is not`: a bound method is another object each time it is looked up.
        if self._functions.setdefault(name, function) != function:
            raise ConfigurationError(f"two handlers are called {name!r}: give one another name=")
        self._dags.setdefault(name, set()).add(dag_id)

    @property
    def names(self) -> list[str]:
        """All names."""
        return list(self._functions)

    def names_for(self, dag_id: str) -> list[str]:
        """Return the names of those who want to know of this DAG."""
        return [name for name, dags in self._dags.items() if dag_id in dags or None in dags]

    async def call(self, name: str, completion: Completion) -> None:
        """Run a handler: an asynchronous one here, another in a thread."""
        function = self._functions[name]
        if _is_async(function):
            outcome = function(completion)
        else:
            outcome = await asyncio.to_thread(function, completion)
        if inspect.isawaitable(outcome):
            await outcome


def backoff(attempts: int, chance: float) -> float:
    """Return the seconds until the next attempt: between half of and the whole current delay.

    :param attempts: how many have failed, at least 1.
    :param chance: a random number in [0, 1).
    """
    delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(attempts - 1, 20))
    return delay * (1 + chance) / 2


def describe(error: BaseException) -> str:
    """Return an exception's type and message, bounded."""
    return f"{type(error).__name__}: {error}"[:_ERROR_CHARS]


def _name_of(function: HandlerFunction) -> str:
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not qualname:
        raise ConfigurationError(f"{function!r} has no name of its own: give it one with name=")
    return f"{module}.{qualname}"


def _is_async(function: HandlerFunction) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is a coroutine function
    )
