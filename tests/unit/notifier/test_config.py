"""The options of ``[ringback]`` in airflow.cfg."""

from __future__ import annotations

import pytest

from ringback_notifier._config import attempt_timeout, callback_budget, site
from ringback_notifier._report import Site


@pytest.fixture(autouse=True)
def no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RINGBACK__SOURCE", "RINGBACK__ATTEMPT_TIMEOUT", "RINGBACK__CALLBACK_BUDGET", "API__BASE_URL"):
        monkeypatch.delenv("AIRFLOW__" + name, raising=False)


def test_the_source_is_the_base_url_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting that every deployment has anyway; a slash at its end makes no difference."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/prefix/")
    assert site() == Site(source="https://airflow.example/prefix", base_url="https://airflow.example/prefix")


def test_the_source_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken as it is, because the receivers compare it."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://internal:8080")
    monkeypatch.setenv("AIRFLOW__RINGBACK__SOURCE", "urn:airflow:production/")
    assert site() == Site(source="urn:airflow:production/", base_url="http://internal:8080")


def test_nothing_set_is_a_local_airflow() -> None:
    """A first try on a laptop works without configuration."""
    assert site() == Site(source="http://localhost:8080", base_url="http://localhost:8080")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 10.0), ("2.5", 2.5), ("30", 30.0), ("31", 30.0), ("1e9", 30.0), ("0", 0.1), ("-5", 0.1)],
)
def test_times_are_bounded(monkeypatch: pytest.MonkeyPatch, text: str | None, seconds: float) -> None:
    """No setting makes an attempt or a callback longer than Airflow bears."""
    if text is not None:
        monkeypatch.setenv("AIRFLOW__RINGBACK__ATTEMPT_TIMEOUT", text)
        monkeypatch.setenv("AIRFLOW__RINGBACK__CALLBACK_BUDGET", text)
    assert attempt_timeout() == seconds
    assert callback_budget() == seconds
