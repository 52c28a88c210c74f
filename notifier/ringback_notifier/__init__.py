"""Ring back whoever triggered a DAG run, from inside Airflow.

>>> from ringback_notifier import CompletionNotifier, notify_completion, relay_dag

Importing this package costs next to nothing: the names below are loaded when they are first used, and
what sends is loaded when it sends.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringback_notifier._final_task import NotifyCompletionOperator, notify_completion
    from ringback_notifier._notifier import CompletionNotifier
    from ringback_notifier.relay._operator import relay_dag
    from ringback_notifier.relay._trigger import relay_watcher_dag

__all__ = [
    "CompletionNotifier",
    "NotifyCompletionOperator",
    "notify_completion",
    "relay_dag",
    "relay_watcher_dag",
]

_HOME = {
    "CompletionNotifier": "ringback_notifier._notifier",
    "NotifyCompletionOperator": "ringback_notifier._final_task",
    "notify_completion": "ringback_notifier._final_task",
    "relay_dag": "ringback_notifier.relay._operator",
    "relay_watcher_dag": "ringback_notifier.relay._trigger",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
