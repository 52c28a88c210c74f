"""The relay: reports what the fast paths could not, and delivers what failed before.

Importing this package loads nothing; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringback_notifier.relay._process import run_relay
    from ringback_notifier.relay._relay import DrainReport, Relay
    from ringback_notifier.relay._runs import RunsApi
    from ringback_notifier.relay._settings import RelaySettings

__all__ = ["DrainReport", "Relay", "RelaySettings", "RunsApi", "run_relay"]

_HOME = {
    "DrainReport": "ringback_notifier.relay._relay",
    "Relay": "ringback_notifier.relay._relay",
    "RelaySettings": "ringback_notifier.relay._settings",
    "RunsApi": "ringback_notifier.relay._runs",
    "run_relay": "ringback_notifier.relay._process",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
