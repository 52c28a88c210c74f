"""The outbox for the page: opened when first asked, kept, and opened anew when it fails or is another one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox import Outbox

__all__ = ["NoOutbox", "Source"]

_WAIT = 3.0
_SQLITE = "sqlite:///"

T = TypeVar("T")
_Which = tuple[str, int, int]


class NoOutbox(OutboxError):
    """There is no outbox yet, and looking makes none: it would belong to whoever looked first."""

    reason = "no_outbox"


class Source:
    """Asks the outbox; any number of threads may.

    :param url: gives ``[ringback] outbox_url``.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._opened: tuple[_Which, Outbox] | None = None

    def ask(self, question: Callable[[Outbox], T]) -> T:
        """Return the outbox's answer.

        :raises NoOutbox: if there is none yet.
        :raises OutboxError: if it cannot be used; the next question opens it anew.
        """
        outbox = self._open()
        try:
            return question(outbox)
        except OutboxError:
            self._drop(outbox)
            raise

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].close()

    def _open(self) -> Outbox:
        url = self._url()
        which = _identity(url)
        with self._lock:
            if self._opened is not None:
                if self._opened[0] == which:
                    return self._opened[1]
                self._opened[1].close()  # the file was moved away: what is asked now is the new one
                self._opened = None
            outbox = Outbox.open(url, wait=_WAIT)
            self._opened = (which, outbox)
            return outbox

    def _drop(self, outbox: Outbox) -> None:
        with self._lock:
            if self._opened is not None and self._opened[1] is outbox:
                self._opened = None
        with contextlib.suppress(OutboxError):
            outbox.close()


def _identity(url: str) -> _Which:
    """Return what tells an outbox from another, also from one that has taken its file's place.

    :raises NoOutbox: if there is no such file, or nothing in it.
    """
    if not url.startswith(_SQLITE):
        return url, 0, 0
    try:
        found = Path(url.removeprefix(_SQLITE)).stat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise OutboxError(f"outbox {url}: {error.strerror}; the API server must be allowed to read it") from None
    if found is None or not found.st_size:
        raise NoOutbox(f"there is no outbox {url} yet")
    return url, found.st_dev, found.st_ino
