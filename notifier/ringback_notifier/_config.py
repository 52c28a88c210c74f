"""The options of section ``[ringback]`` in airflow.cfg, one typed function each."""

from __future__ import annotations

import logging

from ringback_notifier._compat import airflow_conf
from ringback_notifier._report import Site

__all__ = ["attempt_timeout", "callback_budget", "callbacks_budget", "callbacks_window", "site"]

log = logging.getLogger(__name__)

_SECTION = "ringback"
_SHARE = 0.6


def site() -> Site:
    """Return this deployment's names: ``[ringback] source``, by default ``[api] base_url``, and the latter."""
    conf = airflow_conf()
    configured = conf.get("api", "base_url", fallback=None)
    base_url = (configured or "http://localhost:8080").rstrip("/")
    source = conf.get(_SECTION, "source", fallback=None)
    if not source and not configured:
        log.warning(
            "ringback: neither [ringback] source nor [api] base_url is set, so events come from %s; set one of them, "
            "the same in every component, or one ending may be reported as two",
            base_url,
        )
    return Site(source=source or base_url, base_url=base_url)


def attempt_timeout() -> float:
    """Return ``[ringback] attempt_timeout``: seconds for one delivery attempt, 10 by default, at most 30."""
    return _seconds("attempt_timeout", default=10.0, highest=30.0)


def callback_budget() -> float:
    """Return ``[ringback] callback_budget``: seconds for one DAG-run callback, 10 by default.

    At most what :func:`callbacks_window` allows for all of a file.
    """
    return _seconds("callback_budget", default=10.0, highest=_SHARE * callbacks_window())


def callbacks_budget() -> float:
    """Return the seconds for all callbacks of a file together: three fifths of what the DAG processor allows."""
    return _SHARE * callbacks_window()


def callbacks_window() -> float:
    """Return ``[dag_processor] dag_file_processor_timeout``: seconds after which all callbacks of a file are killed."""
    return max(float(airflow_conf().getfloat("dag_processor", "dag_file_processor_timeout", fallback=50.0)), 1.0)


def _seconds(option: str, *, default: float, highest: float) -> float:
    value: float = airflow_conf().getfloat(_SECTION, option, fallback=default)
    return min(max(value, 0.1), highest)
