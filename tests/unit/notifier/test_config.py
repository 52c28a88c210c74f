"""The options of ``[ringback]`` in airflow.cfg."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ringback_notifier import _config
from ringback_notifier._config import attempt_timeout, callback_budget, outbox_url, site
from ringback_notifier._report import Site


@pytest.fixture(autouse=True)
def no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AIRFLOW__RINGBACK__", "AIRFLOW__API__BASE_URL")):
            monkeypatch.delenv(name)


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


@pytest.mark.parametrize(
    ("read", "option", "default", "lowest", "highest"),
    [
        (_config.callback_grace, "CALLBACK_GRACE", 10.0, 0.0, 60.0),
        (_config.sweep_interval, "SWEEP_INTERVAL", 15.0, 1.0, 3_600.0),
        (_config.sweep_overlap, "SWEEP_OVERLAP", 180.0, 30.0, 3_600.0),
        (_config.sweep_lookback, "SWEEP_LOOKBACK", 600.0, 0.0, 30 * 86_400.0),
        (_config.retention, "RETENTION_DAYS", 14 * 86_400.0, 86_400.0, 3_650 * 86_400.0),
        (_config.relay_concurrency, "RELAY_CONCURRENCY", 100, 1, 1_000),
        (_config.relay_host_concurrency, "RELAY_HOST_CONCURRENCY", 20, 1, 1_000),
    ],
)
def test_numbers_have_defaults_and_bounds(
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[], float],
    option: str,
    default: float,
    lowest: float,
    highest: float,
) -> None:
    """Whatever is configured, the relay makes progress, and harms nobody."""
    assert read() == default
    monkeypatch.setenv(f"AIRFLOW__RINGBACK__{option}", "-5")
    assert read() == lowest
    monkeypatch.setenv(f"AIRFLOW__RINGBACK__{option}", "1000000000")
    assert read() == highest


@pytest.mark.parametrize(("text", "on"), [(None, True), ("True", True), ("False", False), ("0", False)])
def test_the_listener_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, text: str | None, on: bool) -> None:
    """It is on by default."""
    if text is not None:
        monkeypatch.setenv("AIRFLOW__RINGBACK__LISTENER", text)
    assert _config.listener_enabled() is on


def test_the_outbox_is_a_file_in_airflows_home_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An absolute path, wherever the process was started."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", "")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert outbox_url() == f"sqlite:///{tmp_path}/ringback/outbox.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW_HOME", "here")
    assert outbox_url() == f"sqlite:///{tmp_path}/here/ringback/outbox.db"
    monkeypatch.delenv("AIRFLOW_HOME")
    assert outbox_url() == f"sqlite:///{Path.home()}/airflow/ringback/outbox.db"


def test_the_outbox_can_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL is taken as it is written."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL", "postgresql://ringback:x@db.example/ringback")
    assert outbox_url() == "postgresql://ringback:x@db.example/ringback"
