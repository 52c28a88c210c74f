"""What stands between a host's addresses and a connection: every one of them is judged before any is dialled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ringback_notifier._addresses import AddressRules, Verdict
from ringback_notifier.errors import AddressRefused

__all__ = ["Admit", "Guard", "admit_all"]

log = logging.getLogger(__name__)

_MAX_ADDRESSES = 3
_MOST_TOLD = 1_000
_told: set[tuple[str, str, str]] = set()

Admit = Callable[[str, Sequence[str]], Sequence[str]]
"""From a host and all its addresses to those to dial, in order; raises if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """The guard of one destination.

    :param destination: its name, for messages.
    """

    rules: AddressRules
    destination: str

    def admit(self, host: str, answers: Sequence[str]) -> Sequence[str]:
        """Return the first few of a host's addresses, if every one of them may be connected to.

        One that may not condemns all: whoever mixes them hopes that the wrong one is dialled.

        :raises AddressRefused: naming the address and the mend.
        :raises OSError: if there is none.
        """
        for answer in answers:
            verdict = self.rules.judge(host, answer)
            if not verdict.allowed:
                raise AddressRefused(self.refusal(host, answer, verdict))
            if verdict.because is not None:
                self._tell(host, answer, f"{_of(host, answer)} ({verdict.kind}), allowed by {verdict.because}")
        return admit_all(host, answers)

    def refusal(self, host: str, answer: str, verdict: Verdict) -> str:
        """Say what was refused, and the mend if there is one."""
        said = f"nothing was sent to {_of(host, answer)} ({verdict.kind})"
        if not verdict.curable:
            return f"{said}: events never go there"
        return (
            f'{said}: if events are meant to go there, add the address or its network to "allow_networks" in the extra '
            f"of the Airflow connection ringback_{self.destination}"
        )

    def _tell(self, host: str, answer: str, what: str) -> None:
        """Log an exception, once in the life of a process."""
        key = (self.destination, host, answer)
        if key not in _told:
            if len(_told) >= _MOST_TOLD:
                _told.clear()
            _told.add(key)
            log.info("ringback: destination %r: %s", self.destination, what)


def _of(host: str, answer: str) -> str:
    return host if host == answer else f"{host}, which is {answer}"


def admit_all(host: str, answers: Sequence[str]) -> Sequence[str]:
    """Return the first few addresses, unjudged: of a host that the operator chose, such as a proxy.

    :raises OSError: if there is none.
    """
    if not answers:
        raise OSError(f"{host} has no address")
    return answers[:_MAX_ADDRESSES]
