"""Hints on their way into the outbox: a bounded queue, and a thread that lives while there is something to write.

Whoever puts something into the queue never waits.  What cannot be written is dropped: the relay's sweep finds those
runs, a little later.
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback_notifier._report import Site
    from ringback_notifier.outbox import Hint, Outbox
    from ringback_protocol.event import RunState

__all__ = ["HintWriter", "OutboxOpener", "OutboxSink", "Seen", "Seldom", "hint_of", "hint_writer"]

log = logging.getLogger(__name__)

_CAPACITY = 5_000
_GATHER_SECONDS = 0.01
_IDLE_SECONDS = 5.0
_FORK_SECONDS = 0.5
_EXIT_SECONDS = 1.0
_FILE_SECONDS = 0.4  # less than a fork waits, so that it gets its turn before a locked file does
_SERVER_SECONDS = 2.0
_PURGE_SECONDS = 3_600.0
_PURGE_LIMIT = 5_000
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A run whose state has changed, as it was loaded.

    :param conf: what of the run's conf asks for a callback.
    :param at: Unix seconds.
    :param has_callback: a callback of the DAG will report it, too, and better.
    """

    dag_id: str
    run_id: str
    start_date: datetime | None
    conf: Mapping[str, Any]
    state: RunState
    at: float
    has_callback: bool


class Seldom:
    """Something that is said at most once in so many seconds.  Pure: the clock is an argument."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._next = float("-inf")

    def again(self, now: float) -> bool:
        """Tell whether it may be said now, and take it as said."""
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


def hint_of(seen: Seen, site: Site, *, grace: float) -> Hint | None:
    """Return what to write for a run, or ``None`` where nobody asked for this, or not in a way that can be honoured.

    :param grace: seconds to leave to the DAG's own callback.
    """
    from ringback_notifier.outbox import Hint
    from ringback_protocol import event_id, parse_callback_request

    try:
        request = parse_callback_request(seen.conf)
        if request is None or not request.wants(seen.state):
            return None
        made = event_id(
            source=site.source,
            dag_id=seen.dag_id,
            run_id=seen.run_id,
            start_date=seen.start_date,
            state=seen.state,
            callback_url=request.url,
        )
    except Exception:
        # The relay's sweep sees the same conf, and reports what is wrong with it.
        log.debug("ringback: run %s of %s cannot be noted", seen.run_id, seen.dag_id, exc_info=True)
        return None
    return Hint(
        dag_id=seen.dag_id,
        run_id=seen.run_id,
        event_id=made,
        state=seen.state,
        seen_by="listener",
        due_at=seen.at + (grace if seen.has_callback else 0.0),
    )


class OutboxOpener:
    """Opens the outbox that Airflow's configuration names."""

    def __init__(self) -> None:
        self.aside: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        """Entered while a server is waited for, which needs no lock that a fork must not find taken."""
        self._loaded = False

    def __call__(self) -> Outbox:
        """Open it.

        :raises OutboxError: if that fails.
        """
        from ringback_notifier._config import outbox_url
        from ringback_notifier.outbox import Outbox

        url = outbox_url()
        if url.startswith("sqlite:"):
            return Outbox.open(url, wait=_FILE_SECONDS)
        with self.aside() if self._loaded else contextlib.nullcontext():
            outbox = Outbox.open(url, wait=_SERVER_SECONDS)
        self._loaded = True  # what the first one imported is there from now on
        return outbox


class OutboxSink:
    """Writes hints, all at hand in one transaction; opens the outbox when it is needed.  Used by one thread at a time.

    :param open_outbox: opens it, or raises.
    :param clock: monotonic, in seconds.
    """

    def __init__(self, open_outbox: Callable[[], Outbox], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._open = open_outbox
        self._clock = clock
        self._outbox: Outbox | None = None
        self._site: Site | None = None
        self._failures = 0
        self._not_before = float("-inf")
        self._lost = 0
        self._warning = Seldom(seconds=60.0)
        self._purging = Seldom(seconds=_PURGE_SECONDS)

    def write(self, batch: list[Seen], *, dropped: int = 0) -> None:
        """Write what the batch asks for, or lose it; never raise.

        :param dropped: how many others did not even get into the queue.
        """
        self._lost += dropped
        why: Exception | None = None
        at_stake = len(batch)  # until it is known who asks for something
        try:
            hints = self._hints(batch)
            at_stake = len(hints)
            if hints and self._clock() < self._not_before:
                self._lost += len(hints)
            elif hints:
                self._opened().add_hints(hints, now=time.time())
                self._failures = 0
        except Exception as error:
            why = error
            self._lost += at_stake
            self._failures += 1
            pause = min(_FIRST_PAUSE * 2.0 ** (self._failures - 1), _LONGEST_PAUSE)
            self._not_before = self._clock() + pause
            self.close()
        if self._lost and self._warning.again(self._clock()):
            self._say(why)

    def purge_is_due(self) -> bool:
        """Tell, once an hour, that it is time to purge: soon after something was written."""
        return self._outbox is not None and self._purging.again(self._clock())

    def purge(self) -> None:
        """Delete some of what was settled long ago, for there may be no relay that would; never raise."""
        from ringback_notifier import _config

        try:
            self._opened().purge(before=time.time() - _config.retention(), limit=_PURGE_LIMIT)
        except Exception:
            log.debug("ringback: the outbox was not purged", exc_info=True)

    def close(self) -> None:
        """Close the outbox; it is opened again when it is needed."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            with contextlib.suppress(Exception):
                outbox.close()

    def abandon(self) -> None:
        """Leave the connections to the process that this one was forked from; new ones are made when needed.

        Source: https://sqlite.org/howtocorrupt.html, section 2.6: not even closing them is safe.
        """
        if self._outbox is not None:
            self._outbox.forget()

    def _hints(self, batch: list[Seen]) -> list[Hint]:
        from ringback_notifier import _config

        if self._site is None:
            self._site = _config.site()
        grace = _config.callback_grace()
        return [hint for seen in batch if (hint := hint_of(seen, self._site, grace=grace)) is not None]

    def _opened(self) -> Outbox:
        if self._outbox is None:
            self._outbox = self._open()
        return self._outbox

    def _say(self, why: Exception | None) -> None:
        from ringback_notifier._recording import trouble

        lost, self._lost = self._lost, 0
        log.warning(
            "ringback: %d ended run(s) could not be noted in the outbox%s; the relay's sweep finds them",
            lost,
            f": {trouble(why)}" if why else "",
        )
        log.debug("ringback: not noted", exc_info=why)


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
