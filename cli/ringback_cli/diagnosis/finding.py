"""What a check found: a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Check", "Finding", "Group", "fine", "problem", "warning"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of the diagnosis.

    :param subject: what was looked at, in a few words.
    :param saw: what was seen; never a secret.
    :param todo: what is to be done about it.
    """

    status: Literal["ok", "warning", "problem"]
    subject: str
    saw: str
    todo: str = ""


Check: TypeAlias = Callable[[], Iterator[Finding]]
"""Looks at one thing and yields what it finds; what it raises is a finding, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Checks that are made one after the other, beside other groups.

    :param subject: of the finding that there was no answer.
    """

    section: str
    subject: str
    checks: tuple[Check, ...]


def fine(subject: str, saw: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(status="ok", subject=subject, saw=saw)


def warning(subject: str, saw: str, todo: str) -> Finding:
    """Return that something may be meant so."""
    return Finding(status="warning", subject=subject, saw=saw, todo=todo)


def problem(subject: str, saw: str, todo: str = "") -> Finding:
    """Return that something cannot work."""
    return Finding(status="problem", subject=subject, saw=saw, todo=todo)
