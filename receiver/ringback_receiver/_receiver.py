"""The receiver: trigger a run, remember who waits, believe its event, wake them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import unquote, urlsplit

from ringback_protocol import DEFAULT_TOLERANCE, CompletionEvent, VerificationError, verify_event
from ringback_protocol.log_fields import log_fields
from ringback_protocol.verifying import Headers
from ringback_receiver._airflow import Airflow
from ringback_receiver._airflow_errors import AirflowAuthError, AirflowRequestRejected, AirflowUsageError
from ringback_receiver._answer import Answer, answer_refusal, answer_transition
from ringback_receiver._asgi import Application
from ringback_receiver._bodies import Bodies
from ringback_receiver._callback_conf import check_callback, conf_with_callback
from ringback_receiver._deadlines import deadline_of
from ringback_receiver._endpoint import Endpoint
from ringback_receiver._event_log import log_event
from ringback_receiver._handlers import DEFAULT_TIMEOUT, HandlerFunction, Handlers, describe
from ringback_receiver._ids import new_request_id
from ringback_receiver._key_source import Keys, key_source
from ringback_receiver._matching import PendingRequest
from ringback_receiver._observer import SILENT, Observer
from ringback_receiver._opened import Opened
from ringback_receiver._reconciliation import Reconciliation
from ringback_receiver._reconciling import CHECK_AFTER
from ringback_receiver._refusals import Refusals, claimed_id
from ringback_receiver._run_handle import RunHandle
from ringback_receiver._store import FailingCall, Store
from ringback_receiver._store_url import store_from_url
from ringback_receiver._tracing import receiving, triggering
from ringback_receiver.errors import (
    ConfigurationError,
    KeysUnavailable,
    ReceiverNotOpen,
    StoreError,
    TriggerUnconfirmed,
    UnknownRequest,
)

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["Receiver"]

F = TypeVar("F", bound=HandlerFunction)

log = logging.getLogger("ringback_receiver")

_DEFINITIVE = (AirflowUsageError, AirflowAuthError, AirflowRequestRejected)
"""Errors after which this trigger has made no run; after any other there may be one."""


class Receiver:
    """The caller's end of the line.  Open it before use: ``async with receiver:``.

    :param callback_url: where Airflow reaches this receiver; events for any other URL are refused.
    :param keys: ``whpk_`` or ``whsec_`` keys, any one of which may sign; or a :class:`Discover`.
    :param airflow: the client that triggers, and is asked about runs whose callback does not come; without one
        the receiver only receives.
    :param store: a URL such as ``sqlite:///ringback.db``, or a store.
    :param destination: which Airflow connection shall sign, if not the default one.
    :param source: how Airflow calls itself in events, ``[ringback] source``; by default the base URL of
        ``airflow``, which is right where that is also ``[api] base_url``.
    :param reconcile: seconds from a trigger until Airflow is asked about a run that nothing was heard of, and
        then from one question to the next; the last interval repeats. Empty: never.
    :param path: of the endpoint, by default the callback URL's own; for a proxy that rewrites it.
    :param tolerance: how old, or how far ahead, an event's signature may be.
    :param max_waiting: how many events may wait for the store at once, and how many bodies may be on their way
        to the router; each is held in memory with at most 20 kB. Further events are answered 503.
    :param body_timeout: seconds within which a body must have come in through the router.
    :param close_timeout: seconds that handlers are given to finish when the receiver closes.
    :param metrics: who counts, such as a :class:`ringback_receiver.prometheus.PrometheusMetrics`; by default nobody.
    :param clock: Unix seconds.
    :raises ConfigurationError: an argument cannot be right.
    :raises ringback_protocol.KeyFormatError: a key cannot be right, or there is none.
    """

    def __init__(
        self,
        callback_url: str,
        keys: Keys,
        airflow: Airflow | None = None,
        store: str | Store = "sqlite:///ringback.db",
        *,
        destination: str | None = None,
        source: str | None = None,
        reconcile: Sequence[float] = CHECK_AFTER,
        path: str | None = None,
        tolerance: timedelta = DEFAULT_TOLERANCE,
        max_waiting: int = 1_000,
        body_timeout: float = 10.0,
        close_timeout: float = 10.0,
        metrics: Observer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_callback(callback_url, destination)
        if max_waiting < 1:
            raise ConfigurationError("max_waiting must be at least 1")
        if not body_timeout > 0:
            raise ConfigurationError("body_timeout must be more than 0 seconds")
        self.callback_url = callback_url
        self._keys = key_source(keys)
        self._airflow = airflow
        self._store = store_from_url(store) if isinstance(store, str) else store
        self._destination = destination
        self._reconciliation = Reconciliation(airflow, reconcile, source)
        self._path = path
        self._tolerance = tolerance
        self._max_waiting = max_waiting
        self._endpoint = Endpoint(self, Bodies(most=max_waiting, seconds=body_timeout))
        self._close_timeout = close_timeout
        self._clock = clock
        self._observer = metrics or SILENT
        self._handlers = Handlers()
        self._refusals = Refusals()
        self._open: Opened | None = None
        self._router: APIRouter | None = None

    # --- opening and closing

    async def __aenter__(self) -> Receiver:
        """Open the store and start running the handlers whose turn it is.

        :raises StoreError: the store cannot be opened.
        """
        if self._open is not None:
            raise ConfigurationError("the receiver is open already")
        await self._keys.open(self._destination or "default", most_waiting=self._max_waiting)
        try:
            await self._store.open()
        except BaseException:
            await self._keys.close()
            raise
        self._open = Opened(
            self._store,
            self._handlers,
            self._clock,
            observer=self._observer,
            destination=self._destination or "default",
        )
        if self._observer is not SILENT:
            self._open.count(self._max_waiting)
        self._reconciliation.start(self._open, self._store, callback_url=self.callback_url, clock=self._clock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let running handlers finish within ``close_timeout``, then close everything."""
        opened = self._require_open()
        try:
            await opened.close(self._close_timeout)
        finally:
            self._open = None
            self._summarise(math.inf)
            try:
                await self._keys.close()
            finally:
                await self._store.close()

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncIterator[None]:
        """Keep the receiver open while an ASGI application runs: ``FastAPI(lifespan=receiver.lifespan)``."""
        async with self:
            yield

    # --- asking

    async def trigger(
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
    ) -> RunHandle:
        """Trigger a run that rings back; the request is durable before Airflow hears of it.

        With a ``run_id`` of your own it is idempotent: called again with the same arguments, by any process
        and also after a crash half-way, it returns a handle to the same request and the same run.  Without
        one, a call that is cut short may leave a run, and a request, that nobody knows of.

        :param conf: the run's conf; the request for a callback is added to a copy of it.
        :param run_id: by default ``ringback__`` and the request id, and so a new run.  A request that was made
            for this DAG and run, and was neither cancelled nor has expired, is taken up again.
        :param metadata: anything that JSON can say; it stays here and comes back with the completion.  If a
            request is taken up again, the metadata that it was made with stays, and so does its deadline.
        :param events: what to be told of: ``started``, ``succeeded``, ``failed``; by default the last two. An
            ending that is left out is not rung; only a check of ours finds it, and resolves the request.
        :param deadline: seconds from now, or a moment: if nothing was heard by then, the request has expired,
            whoever waits for it gets ``RequestExpired``, and an ending that comes later is marked as late.
        :param expected_duration: seconds after which Airflow is asked about the run, instead of the first of
            ``reconcile``.
        :raises ValueError: ``conf`` asks for a callback already, or ``deadline`` has passed.
        :raises TypeError: ``metadata`` is not JSON.
        :raises RunConflict: Airflow has another run with this run id or logical date: one with another conf,
            or one that somebody else made.
        :raises AirflowRequestRejected: or ``AirflowAuthError`` or ``AirflowUsageError``: this call has made no
            run.  The request is abandoned, unless another call that used it may have made one.
        :raises TriggerUnconfirmed: there may be a run; the request is kept.
        :raises StoreError: nothing was sent.
        """
        opened = self._require_open()
        if self._airflow is None:
            raise ConfigurationError("this receiver cannot trigger: it was made without airflow=")
        with triggering(dag_id) as traceparent:
            now = self._clock()
            request_id = new_request_id(now)
            asking = conf_with_callback(
                conf,
                url=self.callback_url,
                correlation_id=request_id,
                destination=self._destination,
                events=events,
                traceparent=traceparent,
            )
            request = PendingRequest(
                request_id=request_id,
                dag_id=dag_id,
                run_id=f"ringback__{request_id}" if run_id is None else run_id,
                callback_url=self.callback_url,
                created_at=now,
                metadata=metadata,
                deadline=deadline_of(deadline, now),
                next_check=self._reconciliation.first_check(now, expected_duration),
            )
            registered = await self._store.register(
                request, handlers=self._handlers.names_for(dag_id), adopt=run_id is not None
            )
            opened.dispatcher.wake()
            request = registered.request
            asking["callback"]["correlation_id"] = request.request_id
            handle = RunHandle(request, self._store, opened.waiters)
            try:
                await self._airflow.trigger(dag_id, conf=asking, run_id=request.run_id, logical_date=logical_date)
            except _DEFINITIVE as error:
                if registered.found in (None, "abandoned"):
                    await opened.abandon(request, describe(error))
                raise
            except Exception as error:
                raise TriggerUnconfirmed(
                    f"Airflow may or may not have created run {request.run_id!r} of {dag_id!r}: {error}; "
                    f"request {request.request_id} is kept",
                    handle=handle,
                ) from error
            if request.next_check is not None:
                await opened.confirm(request)
            return handle

    async def request(self, request_id: str) -> RunHandle:
        """Return the handle of a request made earlier, perhaps by another process.

        :raises UnknownRequest: the store has never heard of it.
        :raises StoreError: the store cannot be read now.
        """
        opened = self._require_open()
        tracked = (await self._store.look_up([request_id])).get(request_id)
        if tracked is None:
            raise UnknownRequest(f"no request {request_id!r} is known here", request_id=request_id)
        return RunHandle(tracked.request, self._store, opened.waiters)

    # --- being told

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
        """Register a function, asynchronous or not, for the completions of one DAG or of all.

        It runs after the event is durable, at least once per event: make it idempotent, with
        ``completion.event_id`` as the key.  If it raises it runs again, after 1 s, 2 s, 4 s, … at most an
        hour, without end or until it gives up; :meth:`failing_handlers` shows it.  It hears of every ending: see
        ``completion.revision`` and ``completion.late``.  Register it in every process that receives: whoever takes an
        event knows of no others, but any process that has the same handler may run it.

        :param name: what the store knows it by, by default ``module.qualname``; keep it across renames.
        :param timeout: seconds after which a call has failed, ``None`` for never.  An asynchronous function is
            cancelled; another cannot be, and goes on beside the next attempt.
        :param max_attempts: after which it gives up, as it does at once if it raises ``GiveUp``; by default never.
        :raises ConfigurationError: another function has the same name, or an option cannot be right.
        """

        def register(function: F) -> F:
            self._handlers.add(
                function,
                dag_id=None if callable(dag_id) else dag_id,
                name=name,
                timeout=timeout,
                max_attempts=max_attempts,
            )
            if self._open is not None:
                self._open.dispatcher.wake()
            return function

        return register(dag_id) if callable(dag_id) else register

    async def failing_handlers(self, *, limit: int = 100) -> list[FailingCall]:
        """Return handlers' turns that failed and will come again, or were given up, the most often tried first.

        :raises StoreError: the store cannot be read now.
        """
        self._require_open()
        return await self._store.failing_calls(limit=limit)

    async def retry_handlers(self, *, request_id: str | None = None, handler: str | None = None) -> int:
        """Let handlers' turns that failed come again now, those given up included; return how many.

        :param request_id: only of this request; likewise ``handler``, by its name.
        :raises StoreError: the store cannot be written now.
        """
        opened = self._require_open()
        count = await self._store.retry_failed(now=self._clock(), request_id=request_id, handler=handler)
        opened.dispatcher.wake()
        return count

    # --- receiving

    async def handle(self, headers: Headers, body: bytes) -> Answer:
        """Verify and record one event; the answer is given once that is durable.

        :param headers: of the HTTP request; names in any case, text or bytes.
        :param body: the raw bytes, at most ``MAX_EVENT_BYTES`` of them.
        :raises ReceiverNotOpen: it is.
        """
        opened = self._require_open()
        now = self._clock()
        self._summarise(time.monotonic())
        try:
            event = await self._keys.verify(
                lambda keys: verify_event(
                    headers,
                    body,
                    keys=keys,
                    audiences=[self.callback_url],
                    now=now,
                    tolerance=self._tolerance,
                )
            )
        except (VerificationError, KeysUnavailable) as error:
            return self.refuse(error.status, error.reason, headers)
        self._reconciliation.notice(event.source)
        # Only what is verified waits for the store: strangers cannot fill the places.
        if self._store.recording >= self._max_waiting:
            return self._put_off(event, "busy", f"{self._max_waiting} events wait for the store already")
        try:
            with receiving(event, headers):
                return answer_transition(await opened.record(event, bytes(body), received_at=now))
        except StoreError as error:
            return self._put_off(event, error.reason, str(error), status=error.status)

    def refuse(self, status: int, reason: str, headers: Headers = ()) -> Answer:
        """Answer a request that is no event for us, and log why, in bounds; for adapters of web frameworks.

        :param reason: a code, such as ``too_large``.
        :param headers: of the request, for the event id that it claims.
        """
        now = time.monotonic()
        self._observer.refused(reason)
        self._summarise(now)
        level = logging.WARNING if self._refusals.is_news(reason, now) else logging.DEBUG
        if log.isEnabledFor(level):
            claimed = claimed_id(headers)
            fields = log_fields(
                event_id=claimed,
                dag_id=None,
                run_id=None,
                destination=self._destination or "default",
                outcome=reason,
            )
            whose = f" (event {claimed}, unverified)" if claimed else ""
            log.log(level, "request refused: %s%s", fields["outcome"], whose, extra=fields)
        return answer_refusal(status, reason)

    @property
    def router(self) -> APIRouter:
        """The endpoint, for ``app.include_router(receiver.router)``.

        :raises MissingDependency: FastAPI is not installed.
        """
        if self._router is None:
            from ringback_receiver._router import make_router

            self._router = make_router(self._endpoint, self._route)
        return self._router

    @property
    def asgi(self) -> Application:
        """The endpoint as an ASGI application of its own, for a process that does nothing else.

        It needs no framework, opens and closes the receiver with the server, and answers everything but ``POST`` to
        ``path`` with 404 or 405: ``uvicorn.run(receiver.asgi)``.  Handlers have turns for what is received where they
        are registered: a process without them makes none.  In another application use :attr:`router`; one that mounts
        this must open the receiver itself.
        """
        return Application(self, self._endpoint, self._route or "/")

    # --- inside

    @property
    def _route(self) -> str:
        return unquote(urlsplit(self.callback_url).path) or "/" if self._path is None else self._path

    def _require_open(self) -> Opened:
        if self._open is None:
            raise ReceiverNotOpen
        return self._open

    def _put_off(self, event: CompletionEvent, reason: str, why: str, *, status: int = 503) -> Answer:
        """Answer an event that cannot be recorded now; the log hears of the first, and how many there were."""
        level = logging.ERROR if self._refusals.is_news(reason, time.monotonic()) else logging.DEBUG
        self._observer.received(reason)
        if log.isEnabledFor(level):
            destination = self._destination or "default"
            log_event(log, level, event, reason, destination=destination, said=f"not recorded: {why}")
        return answer_refusal(status, reason)

    def _summarise(self, now: float) -> None:
        for line in self._refusals.summaries(now):
            log.warning(line)
