"""What Airflow's plugin manager loads in every component: it only registers."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

__all__ = ["RingbackPlugin"]


class RingbackPlugin(AirflowPlugin):
    """The listener, once it is written."""

    name = "ringback"
    listeners: list[Any] = []  # noqa: RUF012
