"""What holds for every test."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write out half surrogate pairs in what a test logged: a report is sent as UTF-8 to the process that prints it."""
    report = yield
    report.sections = [(title, _encodable(text)) for title, text in report.sections]
    if report.longrepr is not None and _encodable(said := str(report.longrepr)) != said:
        longrepr: Any = _encodable(said)
        report.longrepr = longrepr
    return report


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
