"""Make the checks: groups side by side, each within a deadline, whatever they meet."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ringback_cli.diagnosis.finding import Finding, Group, problem

__all__ = ["examine", "hangs"]

_NAME = "ringback-doctor"


def examine(groups: Sequence[Group], *, within: float) -> list[tuple[str, list[Finding]]]:
    """Return the findings of each group under the name of its section.

    :param within: seconds; what has not answered by then is a problem, and its thread is left behind.
    """
    deadline = time.monotonic() + within
    found: list[list[Finding]] = [[] for _ in groups]
    threads = [
        threading.Thread(target=_make, args=(group, findings), name=_NAME, daemon=True)
        for group, findings in zip(groups, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    diagnosis = []
    for group, thread, findings in zip(groups, threads, found, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        seen = list(findings)
        if thread.is_alive():
            seen.append(problem(group.subject, f"no answer within {within:.0f} s", "see whether it hangs elsewhere"))
        diagnosis.append((group.section, seen))
    return diagnosis


def hangs() -> bool:
    """Tell whether a check was left behind: the interpreter would wait for it, or for asyncio's threads below it."""
    return any(thread.name == _NAME for thread in threading.enumerate())


def _make(group: Group, findings: list[Finding]) -> None:
    for check in group.checks:
        try:
            for finding in check():
                findings.append(finding)  # at once: the next may never come
        except Exception as error:  # a check that breaks must not hide the others
            # What others' errors say may quote a URL, and so a password.
            findings.append(
                problem(group.subject, f"it could not be looked at: {type(error).__name__}", "see Airflow's own logs")
            )
