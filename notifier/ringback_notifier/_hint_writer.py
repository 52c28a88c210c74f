"""Hints on their way into the outbox: a bounded queue, and a thread that lives while there is something to write.

Whoever puts something into the queue never waits.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator

from ringback_notifier._hint_sink import OutboxOpener, OutboxSink
from ringback_notifier._hints import Seen

__all__ = ["HintWriter", "hint_writer"]

log = logging.getLogger(__name__)

_CAPACITY = 5_000
_GATHER_SECONDS = 0.01
_IDLE_SECONDS = 5.0
_FORK_SECONDS = 0.5
_EXIT_SECONDS = 1.0


class HintWriter:
    """A bounded queue into a sink, and the thread between them.

    :param sink: used by that thread only.
    :param capacity: what arrives beyond is dropped.
    :param idle: seconds without anything to do after which the thread ends.
    """

    def __init__(self, sink: OutboxSink, *, capacity: int = _CAPACITY, idle: float = _IDLE_SECONDS) -> None:
        self._sink = sink
        self._capacity = capacity
        self._idle = idle
        self._forking = threading.local()
        self._begin()

    def _begin(self) -> None:
        self._queue: queue.SimpleQueue[Seen | threading.Event] = queue.SimpleQueue()
        self._dropped = 0
        self._running = threading.Lock()  # held for as long as there is a thread
        self._at_work = threading.Lock()  # held by the thread while it imports, opens and writes
        self._turn = 0  # how often the thread has taken it
        self._in_vain: int | None = None  # the turn whose end a fork has waited for, and not seen

    def put(self, seen: Seen) -> None:
        """Hand one over, without waiting; with a full queue it is dropped.

        :raises RuntimeError: if the operating system allows no thread.
        """
        if self._queue.qsize() >= self._capacity:
            self._dropped += 1
        else:
            self._queue.put(seen)
        self._ensure_thread()

    def flush(self, timeout: float) -> bool:
        """Wait until what has been put so far is dealt with; tell whether it is.

        :param timeout: in seconds.
        """
        if not self._running.locked():
            return True
        done = threading.Event()
        self._queue.put(done)
        self._ensure_thread()
        return done.wait(timeout)

    def guard(self) -> None:
        """Flush when the process exits, and be safe when it forks, as the LocalExecutor does from the scheduler."""
        atexit.register(self._at_exit)
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork_in_parent, after_in_child=self._after_fork
        )

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let forks through, from within the thread's work; nothing in the block may import, or touch SQLite."""
        self._at_work.release()
        try:
            yield
        finally:
            self._turn += 1
            self._at_work.acquire()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        self._turn += 1
        with self._at_work:
            yield

    def _ensure_thread(self) -> None:
        if not self._running.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._run, name="ringback-hints", daemon=True).start()
        except BaseException:
            self._running.release()
            raise

    def _run(self) -> None:
        while True:
            try:
                first = self._queue.get(timeout=self._idle)
            except queue.Empty:
                with self._working():
                    self._sink.close()
                self._running.release()
                # Something may have come since, from somebody who saw that there was a thread still.
                if self._queue.empty() or not self._running.acquire(blocking=False):
                    return
            else:
                # Lets the scheduler go on at once, and what ends together comes into one transaction.
                time.sleep(_GATHER_SECONDS)
                self._deal_with(first)
                if self._sink.purge_is_due():
                    time.sleep(_GATHER_SECONDS)  # a fork that waits has its turn
                    with self._working():
                        self._sink.purge()

    def _deal_with(self, first: Seen | threading.Event) -> None:
        with self._working():
            batch = [first]
            with contextlib.suppress(queue.Empty):
                while True:
                    batch.append(self._queue.get_nowait())
            dropped, self._dropped = self._dropped, 0
            try:
                self._sink.write([item for item in batch if isinstance(item, Seen)], dropped=dropped)
            except Exception:
                log.debug("ringback: not noted", exc_info=True)
        for item in batch:
            if isinstance(item, threading.Event):
                item.set()

    def _at_exit(self) -> None:
        with contextlib.suppress(RuntimeError):  # no new thread at this hour
            self.flush(_EXIT_SECONDS)

    def _before_fork(self) -> None:
        # A child forked amid an import or a call of SQLite would find their locks taken, by nobody.
        turn = self._turn
        patience = 0.0 if turn == self._in_vain else _FORK_SECONDS
        held = self._forking.held = self._at_work.acquire(timeout=patience)
        if held:
            # SQLite keeps what it knows of a file for as long as a connection is open.  A child would go on with that
            # after the last of the others has closed and deleted the file's companions: nobody reads what it writes.
            self._sink.close()
        else:
            self._in_vain = turn

    def _after_fork_in_parent(self) -> None:
        if getattr(self._forking, "held", False):
            self._forking.held = False
            self._at_work.release()

    def _after_fork(self) -> None:
        self._begin()
        self._sink.abandon()


@functools.cache
def hint_writer() -> HintWriter:
    """Return this process's writer."""
    opener = OutboxOpener()
    writer = HintWriter(OutboxSink(opener))
    opener.aside = writer.aside
    writer.guard()
    return writer
