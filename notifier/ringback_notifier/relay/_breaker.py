"""A circuit breaker for each host: one that is down is spared, and does not hold up the others.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Breaker", "CircuitState"]

CircuitState = Literal["closed", "open", "half_open"]

_REMEMBERED = 3_600.0
_UNSEEN = 27 * 3_600.0
"""Seconds without an attempt after which a host is not known to have been down; longer than any event's pause."""
_MANY = 1_000


@dataclass(kw_only=True, slots=True)
class _Circuit:
    failures: int = 0
    failed_at: float = 0.0
    cool_down: float = 0.0
    opened_at: float = 0.0
    reopens: float | None = None
    probing: bool = False


class Breaker:
    """Circuits by host; every time is in seconds, on any one clock.

    A host that failed ``threshold`` times in a row is open: nothing is sent for ``cool_down`` seconds.  Then
    it is half open: one probe decides whether it closes, or opens again for twice as long.
    """

    def __init__(self, *, threshold: int = 5, cool_down: float = 30.0, longest: float = 300.0) -> None:
        self._threshold = threshold
        self._cool_down = cool_down
        self._longest = longest
        self._circuits: dict[str, _Circuit] = {}

    def state(self, host: str, now: float) -> CircuitState:
        """Return whether anything, nothing or one probe may be sent; open while a probe is on its way."""
        circuit = self._circuits.get(host)
        if circuit is None or circuit.reopens is None:
            return "closed"
        return "open" if circuit.probing or now < circuit.reopens else "half_open"

    def blocked(self, now: float) -> set[str]:
        """Return the hosts that are open."""
        return {host for host in self._circuits if self.state(host, now) == "open"}

    def reopens(self, host: str) -> float | None:
        """Return when an open host may be probed, or ``None`` if it is closed."""
        circuit = self._circuits.get(host)
        return None if circuit is None else circuit.reopens

    def down_for(self, host: str, now: float) -> float:
        """Return for how many seconds a host has failed at every probe; 0 if it is closed."""
        circuit = self._circuits.get(host)
        return 0.0 if circuit is None or circuit.reopens is None else now - circuit.opened_at

    def is_patient(self, host: str) -> bool:
        """Tell whether a host has been down for some minutes, so that its cool-down grows no more."""
        circuit = self._circuits.get(host)
        return circuit is not None and circuit.cool_down >= self._longest

    def next_probe(self) -> float | None:
        """Return when the first of the open hosts may be probed."""
        times = [circuit.reopens for circuit in self._circuits.values() if circuit.reopens and not circuit.probing]
        return min(times, default=None)

    def started(self, host: str) -> None:
        """Note an attempt that starts; to a half-open host it is the probe."""
        circuit = self._circuits.get(host)
        if circuit is not None and circuit.reopens is not None:
            circuit.probing = True

    def succeeded(self, host: str) -> None:
        """Note that the host answered."""
        self._circuits.pop(host, None)

    def failed(self, host: str, now: float) -> bool:
        """Note that the host failed; tell whether that opened its circuit, for the first time or once more."""
        circuit = self._circuits.get(host)
        if circuit is None:
            self._forget(now)
            circuit = self._circuits[host] = _Circuit()
        if now - circuit.failed_at > _UNSEEN:
            circuit.opened_at = now
        circuit.failed_at = now
        circuit.failures += 1
        if circuit.reopens is None:
            if circuit.failures < self._threshold:
                return False
            circuit.cool_down = self._cool_down
            circuit.opened_at = now
        elif circuit.probing or now >= circuit.reopens:  # of several probes one may have said nothing
            circuit.cool_down = min(2 * circuit.cool_down, self._longest)
        else:
            return False  # it was on its way when the circuit opened
        circuit.probing = False
        circuit.reopens = now + circuit.cool_down
        return True

    def abandoned(self, host: str) -> None:
        """Note an attempt that says nothing about the host: it was never sent, or broken off by us."""
        circuit = self._circuits.get(host)
        if circuit is not None:
            circuit.probing = False

    def _forget(self, now: float) -> None:
        if len(self._circuits) >= _MANY:
            self._circuits = {
                host: circuit
                for host, circuit in self._circuits.items()
                if circuit.reopens is not None or now - circuit.failed_at < _REMEMBERED
            }
