"""What Airflow's plugin manager loads in every component: it only registers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from ringback_notifier._key_endpoint import PREFIX, KeyEndpoint

__all__ = ["RingbackPlugin"]


class RingbackPlugin(AirflowPlugin):
    """The listener, and the public keys' endpoint; ``[ringback] listener`` and ``publish_keys`` switch them off."""

    name = "ringback"
    listeners: list[Any] = []  # noqa: RUF012
    fastapi_apps: list[Any] = []  # noqa: RUF012

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Register what is switched on; Airflow calls this once, before it asks for either."""
        from ringback_notifier._config import listener_enabled, publish_keys

        if listener_enabled():
            from ringback_notifier import _listener

            cls.listeners = [_listener]
        if names := publish_keys():
            cls.fastapi_apps = [{"app": KeyEndpoint(names), "url_prefix": PREFIX, "name": "Ringback's public keys"}]
