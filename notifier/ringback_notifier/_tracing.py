"""A span for each attempt, where Airflow uses OpenTelemetry; elsewhere the caller's trace is passed on as it came.

Whoever has set OpenTelemetry up has imported it: so it is never imported for its own sake.  What fails in it costs the
span, never the delivery.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType

from ringback_notifier._exchange import Delivery
from ringback_notifier._policy import Answer, Outcome
from ringback_protocol.trace_context import TRACEPARENT, is_traceparent

__all__ = ["delivering"]

log = logging.getLogger(__name__)

Ended = Callable[[Outcome], None]


def delivering(delivery: Delivery) -> AbstractContextManager[tuple[Delivery, Ended]]:
    """Give the delivery as it is to be sent, and what is to be told how the attempt ended.

    It is part of the caller's trace; the trace that Airflow itself keeps of the run is linked.  Of a caller who traces
    nothing, nobody outside is told of Airflow's.
    """
    return _Harmless(delivery) if _is_used() else contextlib.nullcontext((delivery, _nobody))


def _is_used() -> bool:
    """Tell whether somebody has set OpenTelemetry up, and not only installed it."""
    if sys.modules.get("opentelemetry.trace") is None:
        return False
    with _FailingAlone():
        from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

        return not isinstance(get_tracer_provider(), ProxyTracerProvider)
    return False


def _nobody(outcome: Outcome) -> None:
    """Tell nobody."""


class _FailingAlone:
    """Lets nobody hear of an exception but the log."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        _complain(type(error).__name__)  # a sampler, a span processor, a provider that is not installed
        return True


@functools.cache
def _complain(what: str) -> None:
    """Say it once: the next event has the same trouble."""
    log.warning("ringback: OpenTelemetry fails, and some deliveries are not traced: %s", what)


class _Harmless:
    """Does what :func:`_delivering` does, and goes without where it fails; what the attempt raises is raised."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._entered: AbstractContextManager[tuple[Delivery, Ended]] | None = None

    def __enter__(self) -> tuple[Delivery, Ended]:
        with _FailingAlone():
            span = _delivering(self._delivery)
            traced, end = span.__enter__()
            self._entered = span

            def ended(outcome: Outcome) -> None:
                with _FailingAlone():
                    end(outcome)

            return traced, ended
        return self._delivery, _nobody

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered is not None:
            with _FailingAlone():
                self._entered.__exit__(kind, error, trace)


@contextlib.contextmanager
def _delivering(delivery: Delivery) -> Iterator[tuple[Delivery, Ended]]:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, StatusCode, get_current_span, get_tracer, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    propagator, asked = TraceContextTextMapPropagator(), delivery.traceparent
    here = get_current_span().get_span_context()
    with get_tracer("ringback_notifier").start_as_current_span(
        "ringback.deliver",
        context=None if asked is None else propagator.extract({TRACEPARENT: asked}, context=Context()),
        kind=SpanKind.CLIENT,
        links=[Link(here)] if asked is not None and here.is_valid else [],
        attributes={"ringback.event_id": delivery.event_id, "ringback.destination": delivery.destination.name},
    ) as span:

        def ended(outcome: Outcome) -> None:
            if isinstance(outcome, Answer):
                span.set_attribute("http.response.status_code", outcome.status)
            if not isinstance(outcome, Answer) or not 200 <= outcome.status < 300:
                span.set_status(StatusCode.ERROR)

        carrier: dict[str, str] = {}
        propagator.inject(carrier, context=set_span_in_context(span))
        child = carrier.get(TRACEPARENT)
        yield replace(delivery, traceparent=child if asked is not None and is_traceparent(child) else asked), ended
