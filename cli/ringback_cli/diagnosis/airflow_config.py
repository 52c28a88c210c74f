"""Section ``[ringback]`` of Airflow's configuration, and how this Airflow calls itself."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ringback_cli.diagnosis.finding import Finding, fine, problem, warning

__all__ = ["listener", "names", "options"]

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - nothing is bound


def options() -> Iterator[Finding]:
    """Whether every option can be read."""
    from ringback_notifier import _config
    from ringback_notifier.errors import NotifierError

    wrong = False
    for name in _config.__all__:
        if name == "site":
            continue
        try:
            getattr(_config, name)()
        except NotifierError as error:
            wrong = True
            yield problem("[ringback]", str(error), "mend it in airflow.cfg, or in AIRFLOW__RINGBACK__…")
    if not wrong:
        yield fine("[ringback]", "every option can be read")


def names() -> Iterator[Finding]:
    """Whether events and the links in them are named after an address that others know."""
    from ringback_notifier._compat import airflow_conf
    from ringback_notifier._config import site

    found = site()
    mend = "set [api] base_url, or [ringback] source, to the same address in every component"
    if not airflow_conf().get("api", "base_url", fallback=None) and found.source == found.base_url:
        yield problem("name", "neither [ringback] source nor [api] base_url is set", mend)
        return
    for option, url in {"source": found.source, "base_url": found.base_url}.items():
        if (urlsplit(url).hostname or "") in _LOCAL:
            yield warning("name", f"{option} is {url}, which means another machine to everybody else", mend)
            return
    yield fine("name", f"events come from {found.source}")


def listener() -> Iterator[Finding]:
    """Whether the listener is on."""
    from ringback_notifier import _config

    if _config.listener_enabled():
        yield fine("listener", "on")
    else:
        yield warning(
            "listener",
            "[ringback] listener is off: endings that no task and no callback sees are found by the relay's sweep only",
            "set it to True, unless that is meant",
        )
