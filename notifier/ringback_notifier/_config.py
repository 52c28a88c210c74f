"""The options of section ``[ringback]`` in airflow.cfg, one typed function each.

Every one raises :class:`~ringback_notifier.errors.NotifierError`, naming the option, where it cannot be read.
"""

from __future__ import annotations

import logging
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ringback_notifier._compat import airflow_conf
from ringback_notifier.errors import NotifierError, OutboxError

if TYPE_CHECKING:
    from ringback_notifier._report import Site

__all__ = [
    # events
    "site",
    "attempt_timeout",
    "callback_budget",
    "callbacks_budget",
    "callbacks_window",
    # the outbox and those who write to it
    "outbox_url",
    "listener_enabled",
    "callback_grace",
    "retention",
    # the relay
    "sweep_interval",
    "sweep_overlap",
    "sweep_lookback",
    "relay_concurrency",
    "relay_host_concurrency",
    # the keys that the API server publishes
    "publish_keys",
]

log = logging.getLogger(__name__)

_SECTION = "ringback"
_SHARE = 0.6
_DESTINATION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOUR = 3_600.0
_DAY = 24 * _HOUR


def site() -> Site:
    """Return this deployment's names: ``[ringback] source``, by default ``[api] base_url``, and the latter."""
    from ringback_notifier._report import Site

    configured = airflow_conf().get("api", "base_url", fallback=None)
    base_url = (configured or "http://localhost:8080").rstrip("/")
    source = _text("source")
    if not source and not configured:
        log.warning(
            "ringback: neither [ringback] source nor [api] base_url is set, so events come from %s; set one of them, "
            "the same in every component, or one ending may be reported as two",
            base_url,
        )
    return Site(source=source or base_url, base_url=base_url)


def attempt_timeout() -> float:
    """Return ``[ringback] attempt_timeout``: seconds for one delivery attempt, 10 by default, at most 30."""
    return _number("attempt_timeout", default=10.0, highest=30.0)


def callback_budget() -> float:
    """Return ``[ringback] callback_budget``: seconds for one DAG-run callback, 10 by default.

    At most what :func:`callbacks_window` allows for all of a file.
    """
    return _number("callback_budget", default=10.0, highest=_SHARE * callbacks_window())


def callbacks_budget() -> float:
    """Return the seconds for all callbacks of a file together: three fifths of what the DAG processor allows."""
    return _SHARE * callbacks_window()


def callbacks_window() -> float:
    """Return ``[dag_processor] dag_file_processor_timeout``: seconds after which all callbacks of a file are killed."""
    return max(float(airflow_conf().getfloat("dag_processor", "dag_file_processor_timeout", fallback=50.0)), 1.0)


def outbox_url() -> str:
    """Return ``[ringback] outbox_url``: an SQLite file in Airflow's home by default.  It may hold a password.

    :raises OutboxError: if it cannot be read.
    """
    # A default in the provider's description comes as it is written there.
    url = _text("outbox_url", error=OutboxError) or "sqlite:///{AIRFLOW_HOME}/ringback/outbox.db"
    return url.replace("{AIRFLOW_HOME}", str(_airflow_home()))


def listener_enabled() -> bool:
    """Return ``[ringback] listener``: whether the plugin registers its listener, true by default."""
    return _switch("listener", default=True)


def callback_grace() -> float:
    """Return ``[ringback] callback_grace``: seconds that a hint waits for the DAG's own callback, 10 by default.

    The callback knows the result and the failed tasks, which the relay does not.  At most 60; zero is not to wait.
    """
    return _number("callback_grace", default=10.0, lowest=0.0, highest=60.0)


def retention() -> float:
    """Return ``[ringback] retention_days`` in seconds: how long settled events are kept, 14 days by default.

    At least one day: the sweep knows by them what it has reported already.
    """
    return _number("retention_days", default=14.0, lowest=1.0, highest=3_650.0) * _DAY


def sweep_interval() -> float:
    """Return ``[ringback] sweep_interval``: seconds between two sweeps of Airflow's runs, 15 by default."""
    return _number("sweep_interval", default=15.0, lowest=1.0, highest=_HOUR)


def sweep_overlap() -> float:
    """Return ``[ringback] sweep_overlap``: seconds by which a sweep looks behind the one before, 180 by default.

    Airflow sets a run's time of change up to some ten seconds before others can see the run.
    """
    return _number("sweep_overlap", default=180.0, lowest=90.0, highest=_HOUR)


def sweep_lookback() -> float:
    """Return ``[ringback] sweep_lookback``: seconds that the first sweep ever looks back, 600 by default."""
    return _number("sweep_lookback", default=600.0, lowest=0.0, highest=30 * _DAY)


def relay_concurrency() -> int:
    """Return ``[ringback] relay_concurrency``: attempts that one relay makes at a time, 100 by default."""
    return _count("relay_concurrency", default=100, highest=1_000)


def relay_host_concurrency() -> int:
    """Return ``[ringback] relay_host_concurrency``: those of them that go to one host, 20 by default."""
    return _count("relay_host_concurrency", default=20, highest=1_000)


def publish_keys() -> tuple[str, ...]:
    """Return ``[ringback] publish_keys``: whose public keys the API server publishes, ``default`` by default.

    Destinations' names with commas between them; empty, and it publishes nothing.
    """
    text = _text("publish_keys", default="default")
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    if not all(_DESTINATION.fullmatch(name) for name in names):
        raise _wrong("publish_keys", text, "names of destinations with commas between them")
    return names


def _number(option: str, *, default: float, lowest: float = 0.1, highest: float) -> float:
    text = _text(option)
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise _wrong(option, text, "a number")
    return min(max(value, lowest), highest)


def _count(option: str, *, default: int, highest: int) -> int:
    value = _number(option, default=default, lowest=1, highest=highest)
    if not float(value).is_integer():
        raise _wrong(option, _text(option), "a whole number")
    return int(value)


def _switch(option: str, *, default: bool) -> bool:
    text = _text(option)
    try:
        return bool(airflow_conf().getboolean(_SECTION, option)) if text else default
    except Exception:
        raise _wrong(option, text, "True or False") from None


def _text(option: str, *, default: str = "", error: type[NotifierError] = NotifierError) -> str:
    """Return an option as it is written.

    :param default: where it is not set.
    :param error: what to raise if it cannot be read.
    """
    conf = airflow_conf()
    try:
        text: str | None = conf.get(_SECTION, option, fallback=None)
    except Exception:
        # Not chained: configparser quotes the value, which may hold a password.
        raise error(f"[{_SECTION}] {option} cannot be read; in airflow.cfg write %% for %") from None
    return (default if text is None else text).strip()  # what a command prints (``outbox_url_cmd``) ends with a newline


def _wrong(option: str, found: str, right: str) -> NotifierError:
    return NotifierError(f"[{_SECTION}] {option} is {found!r}; it must be {right}")


def _airflow_home() -> Path:
    return Path(os.path.expandvars(os.environ.get("AIRFLOW_HOME") or "~/airflow")).expanduser().absolute()
