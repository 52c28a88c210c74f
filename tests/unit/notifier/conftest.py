"""Airflow in a home of its own, and what the notifier's tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from notifier_samples import FakeOutbox

# Importing Airflow writes its configuration into its home.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ringback-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)


class Log:
    """A logger that keeps what it is told, without Airflow's own logging set-up."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.fields: list[dict[str, str]] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def keep(message: str, *arguments: object, **fields: str) -> None:
            self.lines.append((level, message % arguments if arguments else message))
            if fields:
                self.fields.append(fields)

        return keep

    @property
    def text(self) -> str:
        return "\n".join(message for _, message in self.lines)

    def at(self, *levels: str) -> list[str]:
        return [message for level, message in self.lines if level in levels]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """What the final task and the callback log."""
    from ringback_notifier import CompletionNotifier, NotifyCompletionOperator

    made = Log()
    monkeypatch.setattr(CompletionNotifier, "log", made)
    monkeypatch.setattr(NotifyCompletionOperator, "log", made)
    return made


@pytest.fixture(autouse=True)
def outbox(monkeypatch: pytest.MonkeyPatch) -> FakeOutbox:
    """What the final task and the callback record, in memory."""
    from ringback_notifier._recording import OptionalOutbox

    made = FakeOutbox()

    def opened(self: Any, url: str) -> FakeOutbox:
        self._outbox = made
        return made

    monkeypatch.setattr(OptionalOutbox, "_opened", opened)
    monkeypatch.setattr(OptionalOutbox, "_shunned_until", float("-inf"))
    return made
