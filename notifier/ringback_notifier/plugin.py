"""What Airflow's plugin manager loads in every component: it only registers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from ringback_notifier._key_endpoint import PREFIX, KeyEndpoint

__all__ = ["RingbackPlugin"]


class RingbackPlugin(AirflowPlugin):
    """The public keys' endpoint, and the listener unless ``[ringback] listener`` is off."""

    name = "ringback"
    listeners: list[Any] = []  # noqa: RUF012
    fastapi_apps: list[Any] = [{"app": KeyEndpoint(), "url_prefix": PREFIX, "name": "Ringback's public keys"}]  # noqa: RUF012

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Register the listener; Airflow calls this once, before it asks for listeners."""
        from ringback_notifier._config import listener_enabled

        if listener_enabled():
            from ringback_notifier import _listener

            cls.listeners = [_listener]
