"""A span that fails costs nothing but itself: what is traced goes on, untraced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["SpanGuard"]

T = TypeVar("T")

log = logging.getLogger("ringback_receiver")

_said: set[str] = set()


class SpanGuard(AbstractContextManager["T | None"], Generic[T]):
    """Enter and leave what ``make`` gives; its own errors are logged, once a kind, and no other is touched.

    :param make: gives the context manager; it may fail, too.
    """

    __slots__ = ("_make", "_within")

    def __init__(self, make: Callable[[], AbstractContextManager[T]]) -> None:
        self._make = make
        self._within: AbstractContextManager[T] | None = None

    def __enter__(self) -> T | None:
        try:
            within = self._make()
            entered = within.__enter__()
        except Exception as error:
            _say(error)
            return None
        self._within = within
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._within is None:
            return
        try:
            self._within.__exit__(kind, error, traceback)
        except Exception as own:
            if own is not error:
                _say(own)


def _say(error: Exception) -> None:
    kind = type(error).__name__
    if kind not in _said:
        _said.add(kind)
        log.warning("OpenTelemetry fails, so nothing is traced (said once): %s", kind, exc_info=error)
