"""What Airflow's plugin manager loads in every component: it only registers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from ringback_notifier._key_endpoint import PREFIX, KeyEndpoint
from ringback_notifier.web import _entry
from ringback_notifier.web._entry import CallbacksPage

__all__ = ["RingbackPlugin"]


class RingbackPlugin(AirflowPlugin):
    """The listener, the page "Callbacks", and the public keys' endpoint.

    ``[ringback] listener`` and ``publish_keys`` switch the first and the last off.
    """

    name = "ringback"
    listeners: list[Any] = []  # noqa: RUF012
    fastapi_apps: list[Any] = []  # noqa: RUF012
    external_views: list[Any] = []  # noqa: RUF012

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Register what is switched on; Airflow calls this once, before it asks for either."""
        from ringback_notifier._compat import shows_external_views
        from ringback_notifier._config import listener_enabled, publish_keys

        if listener_enabled():
            from ringback_notifier import _listener

            cls.listeners = [_listener]
        cls.fastapi_apps, cls.external_views = [], []
        # First: requests go to the first application whose prefix fits, and the keys' is the shorter one.
        if shows_external_views():
            cls.fastapi_apps.append({"app": CallbacksPage(), "url_prefix": _entry.PREFIX, "name": "Callbacks"})
            cls.external_views = [dict(view) for view in _entry.EXTERNAL_VIEWS]
        if names := publish_keys():
            cls.fastapi_apps.append({"app": KeyEndpoint(names), "url_prefix": PREFIX, "name": "Ringback's public keys"})
