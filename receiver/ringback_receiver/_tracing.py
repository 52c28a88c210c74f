"""Spans, where the application uses OpenTelemetry; nothing where it does not.

Whoever has set OpenTelemetry up has imported it: so it is never imported for its own sake, and without it a span costs
a look into a dictionary.

The trace is the one that the signed event names.  A ``traceparent`` header is signed by nobody: it may say which span
of that trace was the last one before us, and nothing else.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ringback_protocol import CompletionEvent
from ringback_protocol.log_fields import shown
from ringback_protocol.trace_context import TRACEPARENT, is_traceparent, trace_id_of
from ringback_protocol.verifying import Headers
from ringback_receiver._headers import first_header
from ringback_receiver._span_guard import SpanGuard

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

__all__ = ["handling", "receiving", "triggering"]

_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()
_TRACER = "ringback_receiver"


def _is_used() -> bool:
    """Tell whether somebody has set OpenTelemetry up, and not only installed it."""
    if sys.modules.get("opentelemetry.trace") is None:
        return False
    try:
        from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

        return not isinstance(get_tracer_provider(), ProxyTracerProvider)
    except Exception:  # as where the environment names a provider that is not installed
        return False


def triggering(dag_id: str) -> AbstractContextManager[str | None]:
    """Give a span to ask for a run in, as its ``traceparent``, or ``None`` if nobody traces."""
    return SpanGuard(lambda: _triggering(dag_id)) if _is_used() else _NOTHING


def receiving(event: CompletionEvent, headers: Headers) -> AbstractContextManager[None]:
    """Give a span to record an event in."""
    return SpanGuard(lambda: _receiving(event, headers)) if _is_used() else _NOTHING


def handling(handler: str, event: CompletionEvent) -> AbstractContextManager[None]:
    """Give a span to call a handler in."""
    return SpanGuard(lambda: _handling(handler, event)) if _is_used() else _NOTHING


@contextlib.contextmanager
def _triggering(dag_id: str) -> Iterator[str | None]:
    from opentelemetry.trace import SpanKind, get_tracer

    attributes = {"ringback.dag_id": shown(dag_id)}
    tracer = get_tracer(_TRACER)
    with tracer.start_as_current_span("ringback.trigger", kind=SpanKind.PRODUCER, attributes=attributes) as span:
        yield _traceparent(span)


@contextlib.contextmanager
def _receiving(event: CompletionEvent, headers: Headers) -> Iterator[None]:
    from opentelemetry.trace import SpanKind, get_tracer

    with get_tracer(_TRACER).start_as_current_span(
        "ringback.receive",
        context=_before_us(event.traceparent, headers),
        kind=SpanKind.CONSUMER,
        attributes=_attributes(event),
    ):
        yield


@contextlib.contextmanager
def _handling(handler: str, event: CompletionEvent) -> Iterator[None]:
    from opentelemetry.context import Context
    from opentelemetry.trace import get_tracer

    # Perhaps after a restart: what is left of the trace is what the event carries.
    parent = _context(event.traceparent) if is_traceparent(event.traceparent) else Context()
    attributes = {**_attributes(event), "ringback.handler": shown(handler)}
    with get_tracer(_TRACER).start_as_current_span("ringback.handler", context=parent, attributes=attributes):
        yield


def _attributes(event: CompletionEvent) -> dict[str, str]:
    return {
        "ringback.event_id": event.id,
        "ringback.dag_id": shown(event.data.dag_id),
        "ringback.run_id": shown(event.data.run_id),
        "ringback.state": event.data.state,
    }


def _before_us(signed: str | None, headers: Headers) -> Context | None:
    """Return the context of the last span before us in the event's trace; ``None`` for the current one."""
    from opentelemetry.trace import get_current_span

    if signed is None or not is_traceparent(signed):
        return None
    here = _traceparent(get_current_span())  # the web framework's, perhaps
    if here is not None and trace_id_of(here) == trace_id_of(signed):
        return None
    said = first_header(headers, TRACEPARENT)
    same = said is not None and is_traceparent(said) and trace_id_of(said) == trace_id_of(signed)
    return _context(said if same else signed)


def _context(traceparent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({TRACEPARENT: traceparent or ""}, context=Context())


def _traceparent(span: Span) -> str | None:
    from opentelemetry.trace import set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, context=set_span_in_context(span))
    found = carrier.get(TRACEPARENT)
    return found if is_traceparent(found) else None
