"""What the final task and the callback ask the outbox, and what they tell it.

They do without where there is none: no SQLAlchemy, no such database, a lock that is held.  Nothing here raises, no
call waits for more than about a second (five where a file system hangs), and what went wrong is logged once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError  # its own class before Python 3.11
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ringback_notifier.errors import NotAllowedError, NotifierError

if TYPE_CHECKING:
    from ringback_notifier._attempts import Tried
    from ringback_notifier._outcomes import Happened
    from ringback_notifier._policy import Decision
    from ringback_notifier.outbox import Attempt, Outbox, OutboxEvent

__all__ = ["OptionalOutbox", "Recording", "leave_hint", "trouble"]

_LOCK_SECONDS = 1.0
_NETWORK_SECONDS = 1.5
_FILE_SECONDS = 5.0  # its lock is waited for before; making a new file takes a second or two
_SHUN_SECONDS = 30.0
_RELAY_AFTER_SECONDS = 5.0
_MAX_CHARS = 500

_Answer = TypeVar("_Answer")


def trouble(error: BaseException) -> str:
    """Say what went wrong, in words that hold no password."""
    if isinstance(error, NotifierError | ImportError):
        return str(error)
    if isinstance(error, TimeoutError | FutureTimeoutError):
        return "no answer in time"
    return type(error).__name__  # whatever it says may quote the URL


class OptionalOutbox:
    """The outbox, for those who can do without.

    :param log: gets one line, should the outbox be of no use.
    """

    _shunned_until = float("-inf")
    """Monotonic seconds: what has just failed in this process is not tried again for every event."""

    def __init__(self, log: Any) -> None:
        self.waited = 0.0
        self._log = log
        self._outbox: Outbox | None = None

    def ask(self, question: Callable[[Outbox], _Answer]) -> _Answer | None:
        """Return the outbox's answer, or ``None`` if there is none to be had."""
        started = time.monotonic()
        if started < OptionalOutbox._shunned_until:
            return None
        try:
            from ringback_notifier._config import outbox_url

            url = outbox_url()
            # SQLite bounds the waiting for a lock, and nobody that for a file system behind a network.
            seconds = _FILE_SECONDS if url.startswith("sqlite:") else _NETWORK_SECONDS
            return _within(seconds, lambda: question(self._opened(url)), otherwise=self.close)
        except Exception as error:
            OptionalOutbox._shunned_until = time.monotonic() + _SHUN_SECONDS
            self._log.warning("ringback: the outbox is of no use: %s; all else goes on without it", trouble(error))
            return None
        finally:
            self.waited += time.monotonic() - started

    def close(self) -> None:
        """Close what was opened."""
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            with contextlib.suppress(Exception):
                outbox.close()

    def _opened(self, url: str) -> Outbox:
        if self._outbox is None:
            from ringback_notifier.outbox import Outbox

            self._outbox = Outbox.open(url, wait=_LOCK_SECONDS)
        return self._outbox


class Recording(OptionalOutbox):
    """One event, on its way from the final task or the callback.  A context manager, also for an event loop.

    A URL that is not allowed is recorded as refused.  Any other error inside it leaves the event to the relay, unless
    something is recorded already or the same is tried again: what cannot be looked up now may be there in a moment.

    :param log: see :class:`OptionalOutbox`.
    :param is_retried: tells whether Airflow is to try again after an error.
    """

    def __init__(
        self, event: OutboxEvent, log: Any, *, is_retried: Callable[[Exception], bool] = lambda error: False
    ) -> None:
        super().__init__(log)
        self._event = event
        self._is_retried = is_retried
        self._told = False

    def settled(self) -> bool:
        """Tell whether the receiver has the event already, or wants it no more."""
        return self.ask(lambda outbox: outbox.status_of(self._event.event_id)) in ("delivered", "gone")

    async def asettled(self) -> bool:
        """Tell the same as :meth:`settled`, without holding up an event loop."""
        return await asyncio.to_thread(self.settled)

    def record(self, decision: Decision, tried: Sequence[Tried]) -> None:
        """Tell what became of the event; one that is not delivered is left to the relay.

        :param decision: after the last attempt.
        :param tried: all attempts, which may be none.
        """
        from ringback_notifier._policy import Delivered, GiveUp

        now = time.time()
        if isinstance(decision, Delivered):
            self._tell("delivered", tried, now=now, due_at=now)
        elif isinstance(decision, GiveUp):
            self._tell("gone", tried, now=now, due_at=now)
        else:
            self._tell("due", tried, now=now, due_at=now + max(decision.not_before or 0.0, _RELAY_AFTER_SECONDS))

    async def arecord(self, decision: Decision, tried: Sequence[Tried]) -> None:
        """Tell the same as :meth:`record`, without holding up an event loop."""
        await asyncio.to_thread(self.record, decision, tried)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, NotAllowedError):
                self._tell_error("refused", error)
                self.log_refusal(error)
            elif isinstance(error, Exception) and not self._told and not self._is_retried(error):
                self._tell_error("due", error)
        finally:
            self.close()

    def log_refusal(self, error: NotAllowedError) -> None:
        """Tell whoever reads logs and metrics that the destination does not allow the URL."""
        from ringback_notifier._metrics import flush

        self._report(logging.WARNING, "refused", why=str(error))
        flush()

    def tell(self, tried: Sequence[Tried], *, last: int) -> None:
        """Tell whoever reads logs and metrics of every attempt.

        :param last: the level of the last one, if it was not delivered.
        """
        from ringback_notifier._metrics import flush
        from ringback_notifier._outcomes import outcome_of
        from ringback_notifier._policy import Delivered, decide

        for place, one in enumerate(tried, start=1):
            decision = decide(one.outcome)
            delivered = isinstance(decision, Delivered)
            level = logging.INFO if delivered or place < len(tried) else last
            why = f"status {decision.status}" if isinstance(decision, Delivered) else decision.why
            self._report(level, outcome_of(decision), why=why, now=one.at + one.duration)
        flush()

    def _report(self, level: int, happened: Happened, *, why: str, now: float = 0.0) -> None:
        from ringback_notifier._outcomes import tell

        event = self._event
        tell(
            self._log,
            level,
            happened,
            event_id=event.event_id,
            dag_id=event.dag_id,
            run_id=event.run_id,
            destination=event.destination,
            sender=self._sender,
            url=event.url,
            why=why,
            ended_at=event.ended_at,
            now=now,
        )

    async def __aenter__(self) -> Recording:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    @property
    def _sender(self) -> Literal["task", "callback"]:
        return "task" if self._event.reported_by == "task" else "callback"

    def _tell_error(self, status: Literal["due", "refused"], error: Exception) -> None:
        from ringback_notifier._attempts import Tried
        from ringback_notifier._policy import NoAnswer

        now = time.time()
        tried = Tried(at=now, duration=0.0, outcome=NoAnswer(error=trouble(error)))
        self._tell(status, [tried], now=now, due_at=now + _RELAY_AFTER_SECONDS)

    def _tell(
        self,
        status: Literal["due", "delivered", "gone", "refused"],
        tried: Sequence[Tried],
        *,
        now: float,
        due_at: float,
    ) -> None:
        self._told = True
        sender = self._sender
        self.ask(
            lambda outbox: outbox.record(
                self._event,
                [_attempt(one, sender) for one in tried],
                status=status,
                due_at=due_at,
                now=now,
            )
        )


def leave_hint(dag_id: str, run_id: str, *, log: Any) -> bool:
    """Leave word that a run has ended whose conf is not known; tell whether the relay will find it."""
    outbox = OptionalOutbox(log)
    try:
        return outbox.ask(lambda opened: _hint(opened, dag_id, run_id)) is not None
    finally:
        outbox.close()


def _hint(outbox: Outbox, dag_id: str, run_id: str) -> int:
    from ringback_notifier.outbox import Hint

    now = time.time()
    hint = Hint(dag_id=dag_id, run_id=run_id, event_id=None, state=None, seen_by="callback", due_at=now)
    return outbox.add_hints([hint], now=now)


def _attempt(tried: Tried, sender: Literal["task", "callback"]) -> Attempt:
    from ringback_notifier._policy import Answer, Delivered, decide
    from ringback_notifier.outbox import Attempt

    outcome = tried.outcome
    decision = decide(outcome)
    return Attempt(
        sender=sender,
        at=tried.at,
        duration=tried.duration,
        status=outcome.status if isinstance(outcome, Answer) else None,
        error=None if isinstance(decision, Delivered) else decision.why[:_MAX_CHARS],
        excerpt=outcome.excerpt[:_MAX_CHARS] if isinstance(outcome, Answer) else "",
    )


def _within(seconds: float, call: Callable[[], _Answer], *, otherwise: Callable[[], None]) -> _Answer:
    """Return what a call gives, if it gives it in time: no driver bounds the resolving of a name.

    :param otherwise: done after a call that nobody waited for.
    :raises TimeoutError: if it takes longer; the call goes on in its thread.
    """
    future: Future[_Answer] = Future()

    def run() -> None:
        try:
            try:
                future.set_result(call())
            except InvalidStateError:
                raise
            except BaseException as error:
                future.set_exception(error)
        except InvalidStateError:
            otherwise()

    threading.Thread(target=run, name="ringback-outbox", daemon=True).start()
    try:
        return future.result(seconds)
    finally:
        future.cancel()
