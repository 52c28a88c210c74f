"""Telling Airflow's metrics: nobody waits for it, and nothing comes of its failing."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import airflow  # noqa: F401 - a process of Airflow's has imported it
import pytest

from ringback_notifier import _compat, _metrics
from ringback_notifier._outcomes import tell


class Stats:
    """Keeps what it is told, once it may."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, kind: str) -> Any:
        def keep(name: str, value: Any, **more: Any) -> None:
            self.gate.wait(10)
            self.told.append((kind, name, value, more.get("tags")))

        return keep


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stats]:
    """Airflow's metrics, switched on."""
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    kept = Stats()
    monkeypatch.setattr(_compat, "airflow_stats", lambda: kept)
    monkeypatch.setattr(_metrics, "_COURIER", _metrics._Courier())
    yield kept
    kept.gate.set()
    assert not _metrics._COURIER.is_needed or _metrics._COURIER.hurry().wait(
        10
    )  # what was put aside must not reach into the next test


def test_what_is_told_arrives_in_order(stats: Stats) -> None:
    """Counters, timings and gauges, each as Airflow's metrics take them."""
    _metrics.count("ringback.delivered", destination="default", sender="task")
    _metrics.timing("ringback.latency", 1.5, destination="default", sender="task")
    _metrics.gauge("ringback.outbox.waiting", 7)
    _metrics.flush()
    tags = {"destination": "default", "sender": "task"}
    assert stats.told == [
        ("incr", "ringback.delivered", 1, tags),
        ("timing", "ringback.latency", timedelta(seconds=1.5), tags),
        ("gauge", "ringback.outbox.waiting", 7, None),
    ]


def test_nobody_waits_for_a_server_that_hangs(stats: Stats) -> None:
    """What is told is put aside, added up, and who ends his work waits for half a second at most."""
    stats.gate.clear()
    started = time.monotonic()
    for _ in range(10_000):
        _metrics.count("ringback.failed")
        _metrics.timing("ringback.latency", 1.0)
    _metrics.flush()
    assert time.monotonic() - started < 5
    assert stats.told == []
    stats.gate.set()
    _metrics._COURIER.hurry().wait(10)
    _metrics._COURIER.hurry().wait(10)
    counted = [value for _, name, value, _ in stats.told if name == "ringback.failed"]
    assert sum(counted) == 10_000
    assert len(counted) < 10
    assert len(stats.told) < 10 * _metrics._MOST_TIMINGS


def test_who_waited_for_it_in_vain_does_not_wait_again(stats: Stats) -> None:
    """A batch of callbacks shares one budget: a client that is stuck costs it half a second, and not one an event."""
    stats.gate.clear()
    _metrics.count("ringback.failed")
    _metrics.flush()
    started = time.monotonic()
    for _ in range(50):
        _metrics.count("ringback.failed")
        _metrics.flush()
        asyncio.run(_metrics.aflush())
    assert time.monotonic() - started < 10
    stats.gate.set()
    late = _metrics._COURIER.late
    assert late is not None
    assert late.wait(10)
    _metrics.count("ringback.dead")
    _metrics.flush()
    assert ("incr", "ringback.dead", 1, {}) in stats.told


class FewThreads:
    """Starts none while there are too many in the container."""

    started = 0
    too_many = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._start = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self.start(thread))

    def start(self, thread: threading.Thread) -> None:
        if self.too_many:
            raise RuntimeError("can't start new thread")
        self.started += 1
        self._start(thread)


def test_without_a_thread_nobody_is_held_up(
    stats: Stats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there are too many threads counting costs a warning; once there is room all that was counted is told."""
    threads = FewThreads(monkeypatch)
    started = time.monotonic()
    for _ in range(3):
        _metrics.count("ringback.delivered")
        _metrics.flush()
    assert time.monotonic() - started < 5
    assert caplog.messages == ["ringback: Airflow's metrics cannot be told: RuntimeError"]
    threads.too_many = False
    _metrics.count("ringback.delivered")
    _metrics.flush()
    assert threads.started == 1
    assert stats.told == [("incr", "ringback.delivered", 4, {})]


def test_who_is_interrupted_while_counting_leaves_nothing_locked(stats: Stats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's time-out of a task is an exception that may come anywhere."""

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _metrics.count("ringback.delivered")
    assert not _metrics._COURIER._lock.locked()
    assert not _metrics._COURIER._starting.locked()
    _metrics.count("ringback.delivered")
    _metrics.flush()
    assert stats.told == [("incr", "ringback.delivered", 2, {})]


def test_what_raises_is_said_once_and_the_next_is_told(
    stats: Stats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken client costs a warning, without what it said, for that may quote a URL."""

    def broken() -> Any:
        raise RuntimeError("http://user:hush@statsd")

    monkeypatch.setattr(_compat, "airflow_stats", broken)
    for _ in range(3):
        _metrics.count("ringback.failed")
    _metrics.flush()
    monkeypatch.setattr(_compat, "airflow_stats", lambda: stats)
    _metrics.count("ringback.dead")
    _metrics.flush()
    assert caplog.messages == ["ringback: Airflow's metrics cannot be told: RuntimeError"]
    assert stats.told == [("incr", "ringback.dead", 1, {})]


def test_where_airflow_has_no_metrics_nothing_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread, no import: off costs nothing."""
    courier = _metrics._Courier()
    monkeypatch.setattr(_metrics, "_COURIER", courier)
    assert not _metrics.is_on()
    _metrics.count("ringback.delivered")
    _metrics.flush()
    assert not courier.is_needed


@pytest.mark.parametrize("option", ["STATSD_ON", "OTEL_ON", "STATSD_DATADOG_ENABLED"])
def test_any_of_airflows_ways_switches_them_on(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """StatsD, OpenTelemetry and Datadog."""
    monkeypatch.setattr(_metrics, "_COURIER", _metrics._Courier())
    monkeypatch.setenv(f"AIRFLOW__METRICS__{option}", "True")
    assert _metrics.is_on()


def test_a_configuration_that_cannot_be_read_switches_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at it next says what is wrong."""
    monkeypatch.setattr(_metrics, "_COURIER", _metrics._Courier())
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "perhaps")
    assert not _metrics.is_on()


def test_a_process_forked_from_one_that_told_tells_too(stats: Stats) -> None:
    """Threads do not survive a fork: the child starts one."""
    _metrics.count("ringback.delivered")
    _metrics.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _metrics.count("ringback.gone")
        _metrics.flush()
        os.write(write, repr([told[1] for told in stats.told]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1_000).decode() == "['ringback.delivered', 'ringback.gone']"


def test_a_destination_that_a_caller_made_up_is_no_tag(stats: Stats) -> None:
    """Each name would be a metric of its own, and callers may write any."""
    log = SimpleNamespace(info=lambda line, **fields: None)
    about = {"event_id": "msg_1", "dag_id": "d", "run_id": "r", "url": "", "why": "", "sender": "relay"}
    tell(log, 20, "failed", destination="x" * 64, is_known=False, **about)
    tell(log, 20, "delivered", destination="portal", ended_at=90.0, now=100.0, **about)
    _metrics.flush()
    assert [(name, tags["destination"]) for _, name, _, tags in stats.told] == [
        ("ringback.failed", "unknown"),
        ("ringback.delivered", "portal"),
        ("ringback.latency", "portal"),
    ]


# --- Airflow's versions


def test_in_this_airflow_they_are_set_up_once() -> None:
    """A process that is no component of Airflow's gets what the configuration says."""
    stats = _compat.airflow_stats()
    assert stats is _compat.airflow_stats()
    assert callable(stats.incr)
    assert callable(stats.gauge)
    assert callable(stats.timing)


def test_in_task_sdk_1_2_a_class_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its factory takes the class."""
    made: list[Any] = []

    class Old:
        factory = None

        @classmethod
        def initialize(cls, *, factory: Any) -> None:
            made.append(factory)
            cls.factory = factory

    metrics = ModuleType("airflow.sdk._shared.observability.metrics")
    metrics.stats = SimpleNamespace(Stats=Old)  # type: ignore[attr-defined]
    utils = ModuleType("airflow.sdk.observability.metrics.stats_utils")
    utils.get_stats_factory = lambda cls: ("factory of", cls)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.sdk._shared.observability.metrics", metrics)
    monkeypatch.setitem(sys.modules, "airflow.sdk.observability.metrics.stats_utils", utils)
    assert _compat.airflow_stats() is _compat.airflow_stats() is Old
    assert made == [("factory of", Old)]


def test_before_they_are_in_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """There the class sets itself up."""
    core = ModuleType("airflow.stats")
    core.Stats = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "airflow.sdk.observability.metrics.stats_utils", None)
    monkeypatch.setitem(sys.modules, "airflow.stats", core)
    assert _compat.airflow_stats() is core.Stats
