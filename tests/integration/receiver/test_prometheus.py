"""What Prometheus sees of a receiver."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, make_asgi_app
from ringing import URL, FakeAirflow, make_event, signed, until

from ringback_protocol import PrivateKey
from ringback_receiver import Completion, GiveUp, Receiver, _counting
from ringback_receiver.prometheus import PrometheusMetrics
from ringback_receiver.testing import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def receiver(tmp_path: Path, key: PrivateKey, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """A receiver that counts, and looks at its store often."""
    monkeypatch.setattr(_counting.Counting.__init__, "__kwdefaults__", {"interval": 0.05})
    store = f"sqlite:///{tmp_path}/ringback.db"
    return Receiver(URL, [str(key.public())], FakeAirflow(), store, metrics=PrometheusMetrics(registry))


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"ringback_receiver_{name}", labels)


async def test_everything_that_happens_is_counted(
    receiver: Receiver, registry: CollectorRegistry, key: PrivateKey
) -> None:
    """Outcomes, refusals, commits, the time since the end of the run, and handlers."""

    @receiver.on_completion("sales", name="fine")
    def fine(completion: Completion) -> None: ...

    @receiver.on_completion("sales", name="tired")
    def tired(completion: Completion) -> None:
        raise GiveUp("enough")

    @receiver.on_completion("sales", name="flaky")
    def flaky(completion: Completion) -> None:
        raise RuntimeError("not yet")

    async with receiver:
        run = await receiver.trigger("sales")
        headers, body = signed(make_event(run.request_id, run.run_id), key)
        for _ in range(2):
            await receiver.handle(headers, body)
        await receiver.handle(headers, body + b" ")
        await receiver.handle({}, body)
        gives_up = asyncio.create_task(receiver.handle(*signed(make_event("req_of_another", "run_9"), key)))
        await asyncio.sleep(0)
        gives_up.cancel()
        await until(lambda: value(registry, "events_total", outcome="parked") == 1)
        await until(lambda: value(registry, "handler_calls_total", handler="flaky", outcome="failed") == 1)
        await until(lambda: value(registry, "handler_turns", state="failing") == 2)
    assert value(registry, "events_total", outcome="resolved") == 1
    assert value(registry, "events_total", outcome="duplicate") == 1
    assert value(registry, "events_total", outcome="busy") == 0
    assert value(registry, "refusals_total", reason="bad_signature") == 1
    assert value(registry, "refusals_total", reason="missing_header") == 1
    assert value(registry, "commit_batch_size_count") == 3
    assert value(registry, "commit_batch_size_sum") == 3
    assert value(registry, "completion_latency_seconds_count") == 1
    assert value(registry, "handler_calls_total", handler="fine", outcome="done") == 1
    assert value(registry, "handler_calls_total", handler="tired", outcome="given_up") == 1


async def test_what_waits_is_shown(receiver: Receiver, registry: CollectorRegistry, key: PrivateKey) -> None:
    """Pending requests with their age, and events that nobody asked for."""
    async with receiver:
        run = await receiver.trigger("sales")
        await receiver.trigger("sales")
        await receiver.handle(*signed(make_event("req_of_another", "run_9"), key))
        await until(lambda: value(registry, "pending_requests", state="waiting") == 2)
        assert value(registry, "pending_requests", state="overdue") == 0
        assert 0 < (value(registry, "oldest_pending_seconds") or 0) < 60
        await until(lambda: value(registry, "parked_events") == 1)
        assert value(registry, "queue_limit") == 1_000
        await run.cancel()
        await until(lambda: value(registry, "pending_requests", state="waiting") == 1)


async def test_events_that_wait_for_a_store_that_stalls_are_shown(key: PrivateKey, registry: CollectorRegistry) -> None:
    """The queue fills before the eyes of whoever looks, and what is put off is counted."""
    free = asyncio.Event()

    class Stalled(MemoryStore):
        recording = 0

        async def record(self, *arguments: object, **more: object) -> object:  # type: ignore[override]
            self.recording += 1
            await free.wait()
            return await super().record(*arguments, **more)  # type: ignore[arg-type]

    metrics = PrometheusMetrics(registry)
    async with Receiver(URL, [str(key.public())], store=Stalled(), metrics=metrics, max_waiting=2) as receiver:  # type: ignore[arg-type]
        deliveries = [signed(make_event(None, f"run_{number}"), key) for number in range(3)]
        waiting = [asyncio.create_task(receiver.handle(*delivery)) for delivery in deliveries[:2]]
        await asyncio.sleep(0)
        assert (await receiver.handle(*deliveries[2])).status == 503
        counting = receiver._open._background[-1]  # type: ignore[union-attr]
        await counting._step()
        assert (value(registry, "queue_depth"), value(registry, "queue_limit")) == (2, 2)
        assert value(registry, "events_total", outcome="busy") == 1
        free.set()
        await asyncio.gather(*waiting)


async def test_the_metrics_are_mounted_beside_the_router(receiver: Receiver, registry: CollectorRegistry) -> None:
    """An application that has no endpoint for them gets one from ``prometheus_client``."""
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    app.mount("/metrics", make_asgi_app(registry))
    transport = httpx.ASGITransport(app)
    async with receiver, httpx.AsyncClient(transport=transport, base_url="http://portal") as client:
        await client.post("/airflow/completions", content=b"{}")
        shown = (await client.get("/metrics", follow_redirects=True)).text
    assert 'ringback_receiver_refusals_total{reason="unsupported_media_type"} 1.0' in shown


def test_the_core_does_without(tmp_path: Path) -> None:
    """Without prometheus-client and OpenTelemetry a receiver works; who asks for metrics is told what to install."""
    code = """
import asyncio, sys
sys.modules["prometheus_client"] = sys.modules["opentelemetry"] = sys.modules["opentelemetry.trace"] = None
from ringback_protocol import PrivateKey
from ringback_receiver import Receiver
async def main():
    key = str(PrivateKey.generate().public())
    async with Receiver("https://portal.example/x", key, store="sqlite://") as receiver:
        print((await receiver.handle({}, b"{}")).status)
asyncio.run(main())
try:
    import ringback_receiver.prometheus
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, missing = done.stdout.splitlines()
    assert status == "400"
    assert missing.startswith("MissingDependency")
    assert "airflow-ringback[metrics]" in missing
