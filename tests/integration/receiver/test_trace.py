"""One trace: from whoever asks for a run, by way of Airflow, to his handler."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timezone
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from ringing import SOURCE, URL, FakeAirflow, make_event, signed, until
from serving import serving

from ringback_notifier._addresses import AddressRules
from ringback_notifier._allow import parse_pattern
from ringback_notifier._delivery import send_once
from ringback_notifier._destination import Destination
from ringback_notifier._exchange import Delivery
from ringback_notifier._prepare import event_for, requested
from ringback_notifier._report import Ending, Site
from ringback_protocol import PrivateKey
from ringback_protocol.trace_context import trace_id_of, traceparent_of
from ringback_receiver import Completion, Receiver, SyncReceiver, _span_guard

pytestmark = pytest.mark.anyio

FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """OpenTelemetry, set up for one test, with what it has recorded."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def id_of(span: ReadableSpan) -> str:
    return f"{span.get_span_context().span_id:016x}"  # type: ignore[no-untyped-call]


def run_ends(conf: dict[str, Any], run_id: str, key: PrivateKey, base_url: str) -> None:
    """Do what the final task does at the end of a run."""
    request = requested({"conf": conf})
    assert request is not None
    now = datetime.now(timezone.utc)
    ending = Ending(dag_id="sales", run_id=run_id, state="success", start_date=now, end_date=now)
    event = event_for(ending, request, site=Site(source=SOURCE, base_url=SOURCE), reported_by="task")
    where = Destination(
        name="default",
        keys=(key,),
        allow=(parse_pattern(base_url + "/"),),
        addresses=AddressRules(networks=(ip_network("127.0.0.0/8"),)),
    )
    delivery = Delivery(
        event_id=event.event_id,
        url=f"{base_url}/airflow/completions",
        body=event.body,
        destination=where,
        traceparent=traceparent_of(event.body),
    )
    tried: list[Any] = []
    send_once(delivery, timeout=10, tried=tried)
    assert [one.outcome.status for one in tried] == [204]


async def test_one_trace_shows_request_run_callback_and_handler(
    receiver: Receiver, airflow: FakeAirflow, key: PrivateKey, spans: InMemorySpanExporter
) -> None:
    """Each part is below the one that caused it, under the application's own span."""
    seen: list[str] = []

    @receiver.on_completion("sales", name="report")
    def report(completion: Completion) -> None:
        seen.append(f"{trace.get_current_span().get_span_context().trace_id:032x}")

    async with serving(receiver) as client:
        with trace.get_tracer("application").start_as_current_span("application"):
            run = await receiver.trigger("sales")
        conf = airflow.triggers[0]["conf"]
        await asyncio.to_thread(run_ends, conf, run.run_id, key, str(client.base_url).rstrip("/"))
        await run.completion(timeout=10)
        await until(lambda: "ringback.handler" in by_name(spans))
    found = by_name(spans)
    asked, delivered = found["ringback.trigger"], found["ringback.deliver"]
    assert parent_of(asked) == id_of(found["application"])
    assert parent_of(delivered) == id_of(asked)
    assert parent_of(found["ringback.receive"]) == id_of(delivered)
    assert parent_of(found["ringback.handler"]) == id_of(asked)
    of_all = {f"{span.get_span_context().trace_id:032x}" for span in found.values()}  # type: ignore[no-untyped-call]
    assert of_all == {trace_id_of(conf["callback"]["traceparent"]), *seen}
    assert delivered.attributes is not None
    assert delivered.attributes["http.response.status_code"] == 204


async def test_where_airflow_traces_nothing_the_trace_is_the_same(
    receiver: Receiver, airflow: FakeAirflow, key: PrivateKey, spans: InMemorySpanExporter
) -> None:
    """What comes back is what was put into conf, with neither a header nor a span of Airflow's."""
    async with receiver:
        run = await receiver.trigger("sales")
        sent = airflow.triggers[0]["conf"]["callback"]["traceparent"]
        event = make_event(run.request_id, run.run_id)
        await receiver.handle(*signed(msgspec.structs.replace(event, traceparent=sent), key))
    found = by_name(spans)
    assert parent_of(found["ringback.receive"]) == id_of(found["ringback.trigger"])


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (FOREIGN, "b7ad6b7169203331"),
        (f"{FOREIGN[:36]}00f067aa0ba902b7-01", "00f067aa0ba902b7"),
        ("00-11111111111111111111111111111111-00f067aa0ba902b7-01", "b7ad6b7169203331"),
        ("nonsense", "b7ad6b7169203331"),
        ("00-" + "1" * 100_000, "b7ad6b7169203331"),
    ],
)
async def test_a_header_that_nobody_signed_names_no_trace(
    opened: Receiver, key: PrivateKey, spans: InMemorySpanExporter, header: str, parent: str
) -> None:
    """It may say which span of the signed trace came last, and nothing else."""
    headers, body = signed(msgspec.structs.replace(make_event("req_1", "run_1"), traceparent=FOREIGN), key)
    assert (await opened.handle({**headers, "traceparent": header}, body)).status == 202
    received = by_name(spans)["ringback.receive"]
    assert parent_of(received) == parent
    assert f"{received.get_span_context().trace_id:032x}" == trace_id_of(FOREIGN)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("value", ["nonsense", "00-" + "1" * 10_000, FOREIGN.upper(), ""])
async def test_a_malformed_trace_costs_no_event(
    opened: Receiver, key: PrivateKey, spans: InMemorySpanExporter, value: str
) -> None:
    """The event is recorded, in a trace of its own."""
    answer = await opened.handle(*signed(msgspec.structs.replace(make_event(None, "r"), traceparent=value), key))
    assert answer.status == 202
    assert by_name(spans)["ringback.receive"].parent is None


async def test_a_request_that_is_refused_makes_no_span(opened: Receiver, spans: InMemorySpanExporter) -> None:
    """Strangers fill nobody's traces."""
    assert (await opened.handle({"traceparent": FOREIGN}, b"{}")).status == 400
    assert not spans.get_finished_spans()


async def test_a_run_that_is_asked_for_again_is_the_same_in_another_trace(
    opened: Receiver, airflow: FakeAirflow, spans: InMemorySpanExporter
) -> None:
    """Each trigger says where it comes from, and the request is still one."""
    first = await opened.trigger("sales", run_id="mine")
    second = await opened.trigger("sales", run_id="mine")
    assert first.request_id == second.request_id
    one, other = (made["conf"]["callback"]["traceparent"] for made in airflow.triggers)
    assert one != other


async def test_who_traces_nothing_asks_as_before(opened: Receiver, airflow: FakeAirflow) -> None:
    """With OpenTelemetry imported and not set up, conf is what it was."""
    await opened.trigger("sales")
    assert "traceparent" not in airflow.triggers[0]["conf"]["callback"]


def test_a_trace_reaches_the_loop_of_a_receiver_that_blocks(
    tmp_path: Path, key: PrivateKey, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The span of the thread that triggers is the parent, though another thread does the work."""
    from ringback_receiver import AirflowClient, DagRun

    triggers: list[Any] = []

    def take(self: object, dag_id: str, *, conf: Any = None, run_id: Any = None, **more: Any) -> DagRun:
        triggers.append(conf)
        return DagRun(dag_id=dag_id, run_id=run_id, state="queued")

    monkeypatch.setattr(AirflowClient, "trigger", take)
    with (
        AirflowClient("http://127.0.0.1:1", token="x") as client,
        SyncReceiver(URL, str(key.public()), client, f"sqlite:///{tmp_path}/r.db", reconcile=()) as receiver,
        trace.get_tracer("application").start_as_current_span("application") as span,
    ):
        receiver.trigger("sales")
    assert trace_id_of(triggers[0]["callback"]["traceparent"]) == f"{span.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("moment", ["on_start", "on_end"])
async def test_a_tracer_that_fails_costs_no_event(
    opened: Receiver, key: PrivateKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    """What is traced goes on untraced, and the log says why, once."""

    class Broken(SpanProcessor):
        pass

    def fail(*arguments: object, **more: object) -> None:
        raise RuntimeError("a broken processor")

    monkeypatch.setattr(Broken, moment, fail)
    monkeypatch.setattr(_span_guard, "_said", set())
    provider = TracerProvider()
    provider.add_span_processor(Broken())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    runs = [await opened.trigger("sales") for _ in range(2)]
    for run in runs:
        assert (await opened.handle(*signed(make_event(run.request_id, run.run_id), key))).status == 204
    assert caplog.text.count("OpenTelemetry fails") == 1
