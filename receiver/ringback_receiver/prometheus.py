"""What a receiver does and what waits, for Prometheus: ``Receiver(…, metrics=PrometheusMetrics())``.

It needs ``prometheus-client``, which the extra ``metrics`` installs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ringback_protocol import CompletionEvent, Refusal
from ringback_receiver._matching import Transition
from ringback_receiver._observer import Backlog, HandlerOutcome
from ringback_receiver.errors import MissingDependency

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
except ModuleNotFoundError as error:
    raise MissingDependency(
        "ringback_receiver.prometheus needs prometheus-client: pip install 'airflow-ringback[metrics]'"
    ) from error

__all__ = ["PrometheusMetrics"]

_Key = TypeVar("_Key")

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600, 21_600)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class PrometheusMetrics:
    """Counters, histograms and gauges whose names begin with ``ringback_receiver_``.

    They are plain metrics of ``prometheus_client``, so its multi-process mode works.  For each receiver one of these,
    and for a second receiver in one process another registry.

    :param registry: by default the one that ``prometheus_client`` exposes.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        received = Counter(
            "ringback_receiver_events",
            "Verified events, by what became of them",
            ["outcome"],
            registry=registry,
        )
        refused = Counter(
            "ringback_receiver_refusals",
            "Requests that are no event for this receiver, by reason",
            ["reason"],
            registry=registry,
        )
        handled = Counter(
            "ringback_receiver_handler_calls",
            "Calls of on_completion handlers, by how they ended",
            ["handler", "outcome"],
            registry=registry,
        )
        self._received: _Children[str] = _Children(lambda outcome: received.labels(outcome).inc)
        self._refused: _Children[str] = _Children(lambda reason: refused.labels(reason).inc)
        self._handled: _Children[tuple[str, str]] = _Children(lambda pair: handled.labels(*pair).inc)
        for outcome in (*(transition.value for transition in Transition), "busy", "store_unavailable"):
            self._received[outcome]  # from zero on: the first of its kind is an increase, too
        for refusal in Refusal:
            self._refused[refusal.value]
        self._completed = Histogram(
            "ringback_receiver_completion_latency_seconds",
            "From the end of a run, as its event tells it, to the moment that its request is durably resolved",
            buckets=_SECONDS,
            registry=registry,
        )
        self._committed = Histogram(
            "ringback_receiver_commit_batch_size",
            "Events that shared one commit",
            buckets=_BATCH,
            registry=registry,
        )
        self._waiting = _gauge("queue_depth", "Events that wait for the store in this process", registry, "livesum")
        self._limit = _gauge("queue_limit", "Events that may wait before further ones are put off", registry, "livesum")
        pending = Gauge(
            "ringback_receiver_pending_requests",
            "Pending requests in the store, by whether Airflow is to be asked about them by now",
            ["state"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._on_time, self._overdue = pending.labels("waiting"), pending.labels("overdue")
        self._oldest = _gauge("oldest_pending_seconds", "Age of the oldest pending request in the store", registry)
        self._parked = _gauge("parked_events", "Events in the store that no request matches yet", registry)
        turns = Gauge(
            "ringback_receiver_handler_turns",
            "Turns of on_completion handlers in the store that are not done",
            ["state"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._open, self._failing = turns.labels("open"), turns.labels("failing")

    def received(self, outcome: str) -> None:
        """Count an answer to a verified event."""
        self._received[outcome]()

    def refused(self, reason: str) -> None:
        """Count a request that is no event for us."""
        self._refused[reason]()

    def completed(self, event: CompletionEvent, at: float) -> None:
        """Observe how long ago the run has ended; the final task reports it a little before."""
        self._completed.observe(max(at - event.time.timestamp(), 0.0))

    def committed(self, events: int) -> None:
        """Observe a commit."""
        self._committed.observe(events)

    def handled(self, handler: str, outcome: HandlerOutcome) -> None:
        """Count a handler's turn."""
        self._handled[handler, outcome]()

    def waiting(self, events: int, limit: int) -> None:
        """Show how full the queue is."""
        self._waiting.set(events)
        self._limit.set(limit)

    def backlog(self, backlog: Backlog, now: float) -> None:
        """Show what the store holds that is not over."""
        self._on_time.set(max(backlog.pending - backlog.overdue, 0))
        self._overdue.set(backlog.overdue)
        self._oldest.set(0.0 if backlog.oldest is None else max(now - backlog.oldest, 0.0))
        self._parked.set(backlog.parked)
        self._open.set(backlog.calls)
        self._failing.set(backlog.failing)


class _Children(dict[_Key, Callable[[], None]]):
    """What counts, by labels: looking a child up by its labels takes longer than counting."""

    def __init__(self, make: Callable[[_Key], Callable[[], None]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, labels: _Key) -> Callable[[], None]:
        self[labels] = count = self._make(labels)
        return count


def _gauge(name: str, what: str, registry: CollectorRegistry, mode: str = "livemax") -> Gauge:
    return Gauge(f"ringback_receiver_{name}", what, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]
