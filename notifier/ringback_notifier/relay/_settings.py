"""How a relay behaves: limits, intervals and time-outs, checked once."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HINTS_WORK", "RelaySettings"]

HINTS_WORK = 60.0
"""Seconds after a run's end in which a hint is trusted to lead to a report, and the sweep leaves the run to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaySettings:
    """Numbers of one relay; every duration is in seconds.

    :param concurrency: attempts in flight at once.
    :param host_concurrency: of those, to one host.
    :param attempt_timeout: for all of an attempt: resolving, connecting, TLS, sending, the answer.
    :param lease: how long leased events are ours; a relay that dies is taken over after it.
    :param sweep_interval: between two sweeps.
    :param sweep_overlap: how far a sweep looks back behind the last one, for rows that were committed late.
    :param sweep_lookback: how far the very first sweep looks back.
    :param grace: how long after a run's end its own fast paths may report it before the sweep does.
    :param retention: how long settled events are kept.
    :param farewell: how long attempts in flight may take to end once the relay has to stop.
    :param poll: how often the outbox is asked though nothing woke the relay.
    :param heartbeat: between two signs of life in the outbox.
    :param confirm_batch: hints that are asked about at once.
    :raises ValueError: if they contradict each other.
    """

    concurrency: int = 100
    host_concurrency: int = 20
    attempt_timeout: float = 10.0
    lease: float = 60.0
    sweep_interval: float = 15.0
    sweep_overlap: float = 180.0
    sweep_lookback: float = 600.0
    grace: float = 10.0
    retention: float = 14 * 86_400.0
    farewell: float = 5.0
    poll: float = 1.0
    heartbeat: float = 10.0
    confirm_batch: int = 50

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.concurrency < 1 or self.host_concurrency < 1 or self.confirm_batch < 1:
            raise ValueError("concurrency, host_concurrency and confirm_batch must be at least 1")
        if min(self.attempt_timeout, self.sweep_interval, self.poll, self.heartbeat) <= 0:
            raise ValueError("attempt_timeout, sweep_interval, poll and heartbeat must be more than 0")
        if self.lease <= 2 * self.attempt_timeout:
            # An event waits for up to half a lease before its attempt starts.
            raise ValueError("lease must be more than twice attempt_timeout")
        if not 0 <= self.grace < self.sweep_overlap or self.sweep_overlap <= HINTS_WORK:
            # What is left out once must be seen again.
            raise ValueError(
                f"grace must be less than sweep_overlap, and sweep_overlap must be more than {HINTS_WORK:g}"
            )
