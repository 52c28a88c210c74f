"""From a name to its addresses, without being at the mercy of the system's resolver.

``getaddrinfo`` cannot be interrupted, so it runs in threads that nobody has to wait for: daemons, not more than so
many at a time, and one for each name, however many ask for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from ipaddress import ip_address

__all__ = ["ResolverBusy", "Resolver", "aresolve", "resolve"]

_MOST_AT_ONCE = 128
_MOST_WAITING = 2_000
_MOST_ANSWERS = 100
_GIVEN_UP_AFTER = 30.0
"""Seconds after which a question that hangs is asked again by whoever comes next."""


class ResolverBusy(OSError):
    """Too many names are in question: that says nothing of the one that was asked for."""


class _Question:
    __slots__ = ("answer", "asked_at", "host")

    def __init__(self, host: str) -> None:
        self.host = host
        self.asked_at = time.monotonic()
        self.answer: Future[tuple[str, ...]] = Future()


class Resolver:
    """Resolves names, for threads and event loops alike.

    :param most: how many names are looked up at the same time; others wait for their turn.
    :param waiting: how many may wait.
    """

    def __init__(self, most: int = _MOST_AT_ONCE, *, waiting: int = _MOST_WAITING) -> None:
        self._most = most
        self._most_waiting = waiting
        self._questions: dict[str, _Question] = {}
        self._waiting: deque[_Question] = deque()
        self._threads = 0
        self._lock = threading.Lock()

    def ask(self, host: str) -> Future[tuple[str, ...]]:
        """Ask for every address of a name; the answer is a tuple of texts, or an ``OSError``.

        The future is shared: wait for it, but do not cancel it.
        """
        with self._lock:
            asked = self._questions.get(host)
            if asked is not None and time.monotonic() - asked.asked_at < _GIVEN_UP_AFTER:
                return asked.answer
            question = _Question(host)
            if len(self._waiting) >= self._most_waiting:
                question.answer.set_exception(ResolverBusy("too many names are being resolved already"))
                return question.answer
            self._questions[host] = question
            self._waiting.append(question)
            if self._threads < self._most:
                self._start_thread()
        return question.answer

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="ringback-resolver", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # there can be no more threads, for now
            if self._threads == 0:
                while self._waiting:
                    question = self._waiting.popleft()
                    self._questions.pop(question.host, None)
                    question.answer.set_exception(ResolverBusy("no thread can be started to resolve names"))
        else:
            self._threads += 1

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                question = self._waiting.popleft()
            found, failure = _look_up(question.host)
            with self._lock:
                if self._questions.get(question.host) is question:
                    del self._questions[question.host]
            if failure is not None:
                question.answer.set_exception(failure)
            else:
                question.answer.set_result(found)


def _look_up(host: str) -> tuple[tuple[str, ...], OSError | None]:
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        return (), error
    except Exception as error:  # such as a UnicodeError
        return (), OSError(str(error))
    answers = tuple(dict.fromkeys(found))
    return answers, OSError("it has more addresses than any receiver") if len(answers) > _MOST_ANSWERS else None


_RESOLVER = Resolver()


def _start_afresh() -> None:
    """In a forked process: the threads are not there, and the lock may have been held by one of them."""
    global _RESOLVER
    _RESOLVER = Resolver()


os.register_at_fork(after_in_child=_start_afresh)


def resolve(host: str, *, within: float) -> Sequence[str]:
    """Return every address of a host, in the system's order; an address is its own.

    :param within: seconds.
    :raises ResolverBusy: if that says nothing of the host.
    :raises TimeoutError: if the resolver does not answer in time.
    :raises OSError: if it knows no address.
    """
    if _is_address(host):
        return (host,)
    answer = _RESOLVER.ask(host)
    with contextlib.suppress(FutureTimeoutError, OSError):
        answer.result(within)
    return _read(host, answer)


async def aresolve(host: str, *, within: float) -> Sequence[str]:
    """Return every address of a host; the same as :func:`resolve`, for an event loop."""
    if _is_address(host):
        return (host,)
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()

    def tell(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(lambda: None if told.done() else told.set_result(None))

    answer = _RESOLVER.ask(host)
    answer.add_done_callback(tell)
    await asyncio.wait([told], timeout=within)
    return _read(host, answer)


def _read(host: str, answer: Future[tuple[str, ...]]) -> Sequence[str]:
    if not answer.done():
        raise TimeoutError(f"{host} could not be resolved in time")
    error = answer.exception()
    if isinstance(error, ResolverBusy):
        raise ResolverBusy(f"{host} cannot be resolved now: {error}") from error
    if isinstance(error, OSError):
        raise OSError(f"{host} cannot be resolved: {error.strerror or error}") from error
    return answer.result()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
