"""The options of ``[ringback]`` in airflow.cfg."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringback_notifier import _config
from ringback_notifier._compat import airflow_conf
from ringback_notifier._config import attempt_timeout, callback_budget, outbox_url, site
from ringback_notifier._report import Site
from ringback_notifier.errors import NotifierError, OutboxError


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
        (_config.sweep_overlap, "SWEEP_OVERLAP", 180.0, 90.0, 3_600.0),
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


@pytest.mark.parametrize(
    ("text", "names"),
    [(None, ("default",)), ("portal", ("portal",)), (" portal ,Other_1-2\n", ("portal", "Other_1-2")), ("", ())],
)
def test_published_keys_are_named(monkeypatch: pytest.MonkeyPatch, text: str | None, names: tuple[str, ...]) -> None:
    """In their own spelling; to name none is not the same as to say nothing."""
    if text is not None:
        monkeypatch.setenv("AIRFLOW__RINGBACK__PUBLISH_KEYS", text)
    assert _config.publish_keys() == names


@pytest.mark.parametrize("text", ["portal other", "portal,", ",", "p\u00f6rtal", "../x", "a" * 65])
def test_names_that_no_destination_has_are_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Nobody could ask for them."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__PUBLISH_KEYS", text)
    with pytest.raises(NotifierError, match=r"\[ringback\] publish_keys is .* with commas"):
        _config.publish_keys()


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


@pytest.fixture
def airflow_cfg(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write an option of ``[ringback]`` as it would be in airflow.cfg."""
    conf = airflow_conf()
    written = []

    def write(option: str, text: str) -> None:
        conf.read_string(f"[ringback]\n{option} = {text}\n")
        written.append(option)

    yield write
    for option in written:
        conf.remove_option("ringback", option, remove_default=False)


def test_a_percent_sign_in_airflow_cfg_is_told_without_the_password(airflow_cfg: Callable[[str, str], None]) -> None:
    """Configparser would quote what follows it."""
    airflow_cfg("outbox_url", "postgresql://ringback:a%hush@db.example/ringback")
    with pytest.raises(OutboxError) as caught:
        outbox_url()
    assert str(caught.value) == "[ringback] outbox_url cannot be read; in airflow.cfg write %% for %"
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_a_percent_sign_that_is_doubled_in_airflow_cfg_is_one(airflow_cfg: Callable[[str, str], None]) -> None:
    """As the message says."""
    airflow_cfg("outbox_url", "postgresql://ringback:a%%40b@db.example/ringback")
    assert outbox_url() == "postgresql://ringback:a%40b@db.example/ringback"


def test_the_outbox_may_come_from_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose output ends with a newline."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL_CMD", "echo postgresql://ringback:x@db.example/ringback")
    monkeypatch.setattr(type(airflow_conf()), "sensitive_config_values", {("ringback", "outbox_url")})
    assert outbox_url() == "postgresql://ringback:x@db.example/ringback"


def test_a_command_that_fails_is_told_without_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have printed a password."""
    monkeypatch.setenv("AIRFLOW__RINGBACK__OUTBOX_URL_CMD", "sh -c 'echo hush; exit 1'")
    monkeypatch.setattr(type(airflow_conf()), "sensitive_config_values", {("ringback", "outbox_url")})
    with pytest.raises(OutboxError, match="outbox_url cannot be read") as caught:
        outbox_url()
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("read", "option", "text", "right"),
    [
        (attempt_timeout, "attempt_timeout", "soon", "a number"),
        (_config.callback_grace, "callback_grace", "nan", "a number"),
        (_config.retention, "retention_days", "14 days", "a number"),
        (_config.relay_concurrency, "relay_concurrency", "many", "a number"),
        (_config.relay_host_concurrency, "relay_host_concurrency", "2.5", "a whole number"),
        (_config.listener_enabled, "listener", "perhaps", "True or False"),
    ],
)
def test_an_option_that_is_malformed_is_named_with_what_is_right(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], object], option: str, text: str, right: str
) -> None:
    """Everybody who reads options knows our errors, and shows them as they are."""
    monkeypatch.setenv(f"AIRFLOW__RINGBACK__{option.upper()}", text)
    with pytest.raises(NotifierError) as caught:
        read()
    assert str(caught.value) == f"[ringback] {option} is {text!r}; it must be {right}"


def test_a_text_that_cannot_be_read_is_named(airflow_cfg: Callable[[str, str], None]) -> None:
    """Like any other option."""
    airflow_cfg("source", "https://airflow.example/%team")
    with pytest.raises(NotifierError, match=r"^\[ringback\] source cannot be read"):
        site()
