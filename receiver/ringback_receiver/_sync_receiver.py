"""The receiver for callers without an event loop: scripts, Flask, Django."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar, overload

from ringback_protocol.keys import VerificationKey
from ringback_protocol.verifying import Headers
from ringback_receiver._airflow_client import AirflowClient
from ringback_receiver._answer import Answer
from ringback_receiver._completion import Completion
from ringback_receiver._handlers import DEFAULT_TIMEOUT, HandlerFunction
from ringback_receiver._loop_thread import LoopThread
from ringback_receiver._receiver import Receiver
from ringback_receiver._run_handle import RunHandle
from ringback_receiver._store import FailingCall
from ringback_receiver._sync_airflow import ThreadedAirflow
from ringback_receiver.errors import ConfigurationError, ReceiverNotOpen

__all__ = ["SyncReceiver", "SyncRunHandle"]

T = TypeVar("T")
F = TypeVar("F", bound=HandlerFunction)


class _Running:
    """An open receiver in a loop of its own, in this process."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.process = os.getpid()
        self._thread = LoopThread()
        try:
            self.run(receiver.__aenter__())
        except BaseException:
            self._thread.stop()
            raise

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._thread.run(coroutine)

    def close(self) -> None:
        try:
            self.run(self.receiver.__aexit__(None, None, None))
        finally:
            self._thread.stop()


class SyncReceiver:
    """The same as :class:`.Receiver`, with methods that block; threads may share it.

    It lives in a thread of its own while it is open: ``with receiver:``, or :meth:`open` in every process that
    serves, after it was forked.  Handlers run only in a process where it is open.

    :param airflow: the client that triggers and is asked; whoever makes it closes it.
    :param store: a URL.
    :param options: further arguments of :class:`.Receiver`.
    :raises ConfigurationError: an argument cannot be right.
    """

    def __init__(
        self,
        callback_url: str,
        keys: str | VerificationKey | Iterable[str | VerificationKey],
        airflow: AirflowClient | None = None,
        store: str = "sqlite:///ringback.db",
        **options: Any,
    ) -> None:
        keys = keys if isinstance(keys, str | VerificationKey) else list(keys)
        client = ThreadedAirflow(airflow) if airflow is not None else None

        def make() -> Receiver:
            return Receiver(callback_url, keys, client, store, **options)

        self._make = make
        self._make()  # what cannot be right is refused now
        self.callback_url = callback_url
        self._handlers: list[Callable[[Receiver], None]] = []
        self._lock = threading.Lock()
        self._lock_of = os.getpid()
        self._running: _Running | None = None
        self._opened_in: int | None = None  # the process in which it is open, or just being opened or closed
        self._closing = False

    def open(self) -> None:
        """Open it, if it is not open; costs nothing if it is, so every request may begin with it.

        :raises StoreError: the store cannot be opened.
        :raises ConfigurationError: it was open when this process was forked, or just being opened or closed.
        :raises ReceiverNotOpen: it is just being closed.
        """
        if self._here() is not None:
            return
        if self._opened_in not in (None, os.getpid()):
            # The thread is not here, and SQLite believes to hold its locks: https://sqlite.org/howtocorrupt.html, 2.6
            raise ConfigurationError("the receiver was open when this process was forked: open it after the fork")
        with self._locked():
            if self._closing:
                raise ReceiverNotOpen
            if self._here() is None:
                self._opened_in = os.getpid()
                try:
                    receiver = self._make()
                    for register in self._handlers:
                        register(receiver)
                    self._running = _Running(receiver)
                except BaseException:
                    self._opened_in = None
                    raise

    def close(self) -> None:
        """Let running handlers finish within ``close_timeout``, then close everything, if it is open here."""
        if self._opened_in != os.getpid():
            return
        with self._locked():
            running = self._here()
            if running is None:
                return
            self._running = None
            self._closing = True
        # Without the lock: a handler that is let finish may still ask whether it is open.
        try:
            running.close()
        finally:
            self._opened_in = None
            self._closing = False

    def __enter__(self) -> SyncReceiver:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        metadata: Any = None,
        events: Iterable[str] | None = None,
        deadline: float | timedelta | datetime | None = None,
        expected_duration: float | timedelta | None = None,
    ) -> SyncRunHandle:
        """Trigger a run that rings back, as :meth:`.Receiver.trigger` does."""
        running = self._require_open()
        handle = running.run(
            running.receiver.trigger(
                dag_id,
                conf=conf,
                run_id=run_id,
                logical_date=logical_date,
                metadata=metadata,
                events=events,
                deadline=deadline,
                expected_duration=expected_duration,
            )
        )
        return SyncRunHandle(handle, running.run)

    def request(self, request_id: str) -> SyncRunHandle:
        """Return the handle of a request made earlier, perhaps by another process.

        :raises UnknownRequest: the store has never heard of it.
        :raises StoreError: the store cannot be read now.
        """
        running = self._require_open()
        return SyncRunHandle(running.run(running.receiver.request(request_id)), running.run)

    @overload
    def on_completion(self, dag_id: F, /) -> F: ...

    @overload
    def on_completion(
        self,
        dag_id: str | None = None,
        *,
        name: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_attempts: int | None = None,
    ) -> Callable[[F], F]: ...

    def on_completion(
        self,
        dag_id: str | F | None = None,
        *,
        name: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_attempts: int | None = None,
    ) -> F | Callable[[F], F]:
        """Register a function for the completions of one DAG or of all, as :meth:`.Receiver.on_completion` does.

        It runs in a thread of its own and may use this receiver.

        :raises ConfigurationError: another function has the same name, or an option cannot be right.
        """

        def register(function: F) -> F:
            def add(receiver: Receiver) -> None:
                wanted = None if callable(dag_id) else dag_id
                receiver.on_completion(wanted, name=name, timeout=timeout, max_attempts=max_attempts)(function)

            self._register(add)
            return function

        return register(dag_id) if callable(dag_id) else register

    def failing_handlers(self, *, limit: int = 100) -> list[FailingCall]:
        """Return handlers' turns that failed and will come again, or were given up, the most often tried first."""
        running = self._require_open()
        return running.run(running.receiver.failing_handlers(limit=limit))

    def retry_handlers(self, *, request_id: str | None = None, handler: str | None = None) -> int:
        """Let handlers' turns that failed come again now, those given up included; return how many."""
        running = self._require_open()
        return running.run(running.receiver.retry_handlers(request_id=request_id, handler=handler))

    def handle(self, headers: Headers, body: bytes) -> Answer:
        """Verify and record one event; the answer is given once that is durable.

        :param headers: of the HTTP request; names in any case, text or bytes.
        :param body: the raw bytes; read at most ``MAX_EVENT_BYTES`` and one more.
        """
        running = self._require_open()
        return running.run(running.receiver.handle(headers, body))

    def _register(self, add: Callable[[Receiver], None]) -> None:
        with self._locked():
            trial = self._make()
            for each in (*self._handlers, add):
                each(trial)  # two that cannot be told apart are refused now
            self._handlers.append(add)
            running = self._here()
        if running is not None:
            running.run(_called(add, running.receiver))

    def _locked(self) -> threading.Lock:
        """Return the lock of this process: one that a thread held at a fork is never let go of after it."""
        if self._lock_of != os.getpid():
            self._lock, self._lock_of = threading.Lock(), os.getpid()
        return self._lock

    def _here(self) -> _Running | None:
        """Return what is open in this process: threads do not survive a fork."""
        running = self._running
        return running if running is not None and running.process == os.getpid() else None

    def _require_open(self) -> _Running:
        running = self._here()
        if running is None:
            raise ReceiverNotOpen
        return running


class SyncRunHandle:
    """A pending request and its run; it may outlive the process: keep ``request_id``."""

    __slots__ = ("_handle", "_run")

    def __init__(self, handle: RunHandle, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._handle = handle
        self._run = run

    @property
    def request_id(self) -> str:
        """The request's id, which is also the correlation id."""
        return self._handle.request_id

    @property
    def dag_id(self) -> str:
        """The DAG's id."""
        return self._handle.dag_id

    @property
    def run_id(self) -> str:
        """The DAG run's id."""
        return self._handle.run_id

    def completion(self, timeout: float | None = None) -> Completion:
        """Wait for the end of the run, as :meth:`.RunHandle.completion` does.

        :param timeout: in seconds; 0 only looks, ``None`` waits for ever.
        """
        completion: Completion = self._run(self._handle.completion(timeout))
        return completion

    def cancel(self) -> bool:
        """Stop waiting, for everybody, as :meth:`.RunHandle.cancel` does."""
        cancelled: bool = self._run(self._handle.cancel())
        return cancelled

    def __repr__(self) -> str:
        return f"Sync{self._handle!r}"


async def _called(function: Callable[[Receiver], None], receiver: Receiver) -> None:
    function(receiver)
