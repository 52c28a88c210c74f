"""How a diagnosis is shown.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ringback_cli.diagnosis.finding import Finding

__all__ = ["as_lines", "as_members", "has_problem"]

Diagnosis = Sequence[tuple[str, Sequence[Finding]]]


def has_problem(diagnosis: Diagnosis) -> bool:
    """Tell whether anything cannot work."""
    return any(finding.status == "problem" for _, findings in diagnosis for finding in findings)


def as_lines(diagnosis: Diagnosis) -> Iterator[str]:
    """Show it for people: a line for each finding, and below it what is to be done."""
    section = None
    for name, findings in diagnosis:
        if name != section:
            section = name
            yield name
        for finding in findings:
            yield f"  {finding.status:8} {finding.subject}: {finding.saw}"
            if finding.todo:
                yield f"           → {finding.todo}"
    found = [finding.status for _, findings in diagnosis for finding in findings]
    problems, warnings = found.count("problem"), found.count("warning")
    yield (
        f"{problems} {'problem' if problems == 1 else 'problems'}, "
        f"{warnings} {'warning' if warnings == 1 else 'warnings'}, {found.count('ok')} ok"
    )


def as_members(diagnosis: Diagnosis) -> dict[str, Any]:
    """Show it for programs."""
    return {
        "healthy": not has_problem(diagnosis),
        "findings": [
            {
                "section": name,
                "status": finding.status,
                "subject": finding.subject,
                "saw": finding.saw,
                "todo": finding.todo or None,
            }
            for name, findings in diagnosis
            for finding in findings
        ],
    }
