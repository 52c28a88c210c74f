"""From a name to its addresses, without being at the mercy of the system's resolver.

``getaddrinfo`` cannot be interrupted, so it runs in threads that nobody has to wait for: daemons, one for each
name, however many ask for it, and not more than so many in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from ipaddress import ip_address

__all__ = ["Resolver", "aresolve", "resolve"]

_MOST_AT_ONCE = 128


class Resolver:
    """Resolves names, for threads and event loops alike.

    :param most: how many names may be in question at the same time; beyond it asking fails at once.
    """

    def __init__(self, most: int = _MOST_AT_ONCE) -> None:
        self._most = most
        self._asked: dict[str, Future[tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def ask(self, host: str) -> Future[tuple[str, ...]]:
        """Ask for every address of a name; the answer is a tuple of texts, or an ``OSError``.

        The future is shared: wait for it, but do not cancel it.
        """
        with self._lock:
            answer = self._asked.get(host)
            if answer is not None:
                return answer
            answer = Future()
            if len(self._asked) >= self._most:
                answer.set_exception(OSError(f"{self._most} other names are being resolved already"))
                return answer
            self._asked[host] = answer
        threading.Thread(target=self._resolve, args=(host, answer), name="ringback-resolver", daemon=True).start()
        return answer

    def _resolve(self, host: str, answer: Future[tuple[str, ...]]) -> None:
        failure: OSError | None = None
        found: list[str] = []
        try:
            found = [str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
        except OSError as error:
            failure = error
        except Exception as error:  # such as a UnicodeError
            failure = OSError(str(error))
        with self._lock:
            self._asked.pop(host, None)
        if failure is not None:
            answer.set_exception(failure)
        else:
            answer.set_result(tuple(dict.fromkeys(found)))


_RESOLVER = Resolver()


def _start_afresh() -> None:
    """In a forked process: the threads are not there, and the lock may have been held by one of them."""
    global _RESOLVER
    _RESOLVER = Resolver()


os.register_at_fork(after_in_child=_start_afresh)


def resolve(host: str, *, within: float) -> Sequence[str]:
    """Return every address of a host, in the system's order; an address is its own.

    :param within: seconds.
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
    if isinstance(error, OSError):
        raise OSError(f"{host} cannot be resolved: {error.strerror or error}") from error
    return answer.result()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
