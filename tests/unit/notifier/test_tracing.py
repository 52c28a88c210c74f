"""Tracing an attempt: what fails in OpenTelemetry costs the span, and never the delivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from notifier_samples import URL
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from ringback_notifier import _tracing
from ringback_notifier._destination import Destination
from ringback_notifier._exchange import Delivery
from ringback_notifier._policy import Answer
from ringback_notifier._tracing import delivering

Trouble = Callable[[pytest.MonkeyPatch], None]

DELIVERY = Delivery(
    event_id="msg_1",
    url=URL,
    body=b"{}",
    destination=Destination(name="default", keys=(), allow=()),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def broken(*given: Any, **more: Any) -> Any:
    raise LookupError("http://user:hush@collector")


def processing(method: str) -> Trouble:
    def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
        processor, provider = SpanProcessor(), TracerProvider(shutdown_on_exit=False)
        monkeypatch.setattr(processor, method, broken)
        provider.add_span_processor(processor)
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)

    return set_up


def sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(shutdown_on_exit=False))
    monkeypatch.setattr(type(ALWAYS_ON), "should_sample", broken)


def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import Span

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", TracerProvider(shutdown_on_exit=False))
    monkeypatch.setattr(Span, "set_attribute", broken)


def providing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "not_installed")


@pytest.fixture(params=[processing("on_start"), processing("on_end"), sampling, telling, providing])
def trouble(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry, set up and broken."""
    _tracing._complain.cache_clear()
    request.param(monkeypatch)


def test_a_broken_opentelemetry_breaks_no_delivery(trouble: None, caplog: pytest.LogCaptureFixture) -> None:
    """The attempt is made each time, and the log says once what is wrong, short of what the error says."""
    made = 0
    for _ in range(3):
        with delivering(DELIVERY) as (traced, ended):
            assert (traced.event_id, traced.body) == ("msg_1", b"{}")
            ended(Answer(status=204))
            made += 1
    assert made == 3
    said = [record.getMessage() for record in caplog.records if record.name == "ringback_notifier._tracing"]
    assert len(said) == 1
    assert "not traced" in said[0]
    assert "hush" not in said[0]


@pytest.mark.parametrize("error", [OSError("unreachable"), KeyboardInterrupt()])
def test_what_the_attempt_raises_is_raised(trouble: None, error: BaseException) -> None:
    """Not what comes of it in OpenTelemetry, and not nothing."""
    with pytest.raises(type(error)) as caught, delivering(DELIVERY):
        raise error
    assert caught.value is error
