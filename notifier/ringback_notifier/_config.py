"""The options of section ``[ringback]`` in airflow.cfg, one typed function each."""

from __future__ import annotations

from ringback_notifier._compat import airflow_conf
from ringback_notifier._report import Site

__all__ = ["attempt_timeout", "callback_budget", "site"]

_SECTION = "ringback"


def site() -> Site:
    """Return this deployment's names: ``[ringback] source``, by default ``[api] base_url``, and the latter."""
    conf = airflow_conf()
    base_url = (conf.get("api", "base_url", fallback=None) or "http://localhost:8080").rstrip("/")
    return Site(source=conf.get(_SECTION, "source", fallback=None) or base_url, base_url=base_url)


def attempt_timeout() -> float:
    """Return ``[ringback] attempt_timeout``: seconds for one delivery attempt, 10 by default, at most 30."""
    return _seconds("attempt_timeout", default=10.0, highest=30.0)


def callback_budget() -> float:
    """Return ``[ringback] callback_budget``: seconds for one DAG-run callback, 10 by default, at most 30.

    The DAG processor kills a file's callbacks after 50 s
    (``[dag_processor] dag_file_processor_timeout``).
    """
    return _seconds("callback_budget", default=10.0, highest=30.0)


def _seconds(option: str, *, default: float, highest: float) -> float:
    value: float = airflow_conf().getfloat(_SECTION, option, fallback=default)
    return min(max(value, 0.1), highest)
