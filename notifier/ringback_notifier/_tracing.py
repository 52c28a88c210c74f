"""A span for each attempt, where Airflow uses OpenTelemetry; elsewhere the caller's trace is passed on as it came.

Whoever has set OpenTelemetry up has imported it: so it is never imported for its own sake.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from ringback_notifier._exchange import Delivery
from ringback_notifier._policy import Answer, Outcome
from ringback_protocol.trace_context import TRACEPARENT, is_traceparent

__all__ = ["delivering"]

Ended = Callable[[Outcome], None]


def delivering(delivery: Delivery) -> AbstractContextManager[tuple[Delivery, Ended]]:
    """Give the delivery as it is to be sent, and what is to be told how the attempt ended.

    It is part of the caller's trace; the trace that Airflow itself keeps of the run is linked.  Of a caller who traces
    nothing, nobody outside is told of Airflow's.
    """
    return _delivering(delivery) if _is_used() else contextlib.nullcontext((delivery, _nobody))


def _is_used() -> bool:
    """Tell whether somebody has set OpenTelemetry up, and not only installed it."""
    if sys.modules.get("opentelemetry.trace") is None:
        return False
    from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

    return not isinstance(get_tracer_provider(), ProxyTracerProvider)


def _nobody(outcome: Outcome) -> None:
    """Tell nobody."""


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
