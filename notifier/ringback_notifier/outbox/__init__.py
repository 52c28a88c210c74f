"""The outbox: what is to be delivered, and what was, in a SQLite file or in PostgreSQL.

>>> from ringback_notifier.outbox import Outbox

Importing this package loads neither SQLAlchemy nor Alembic nor a driver: the first use of a name does, and opening
does the rest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringback_notifier.outbox._filter import EventFilter
    from ringback_notifier.outbox._host import host_of
    from ringback_notifier.outbox._liveness import relay_is_alive
    from ringback_notifier.outbox._migrate import migrate
    from ringback_notifier.outbox._outbox import Outbox
    from ringback_notifier.outbox._rows import (
        Attempt,
        Duty,
        Hint,
        HintRow,
        Leased,
        OutboxEvent,
        Recorded,
        Sender,
        Settled,
        Settlement,
        Status,
        run_key,
    )
    from ringback_notifier.outbox._shown import Count, Cursor, EventRow, EventSummary, Page, Redelivered
    from ringback_notifier.outbox._watch import Watch

__all__ = [
    "Outbox",
    "Watch",
    "migrate",
    "Hint",
    "HintRow",
    "OutboxEvent",
    "Attempt",
    "Leased",
    "Settlement",
    "EventFilter",
    "EventSummary",
    "EventRow",
    "Cursor",
    "Page",
    "Count",
    "Redelivered",
    "Duty",
    "Status",
    "Sender",
    "Recorded",
    "Settled",
    "host_of",
    "relay_is_alive",
    "run_key",
]

_HOME = {
    "Outbox": "_outbox",
    "Watch": "_watch",
    "migrate": "_migrate",
    "host_of": "_host",
    "relay_is_alive": "_liveness",
    "EventFilter": "_filter",
    **dict.fromkeys(("EventSummary", "EventRow", "Cursor", "Page", "Count", "Redelivered"), "_shown"),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, '_rows')}"), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("sqlalchemy", "alembic"):
            raise
        from ringback_notifier.errors import OutboxError

        raise OutboxError(
            "the outbox needs SQLAlchemy 2 and Alembic: pip install 'airflow-ringback[airflow,outbox]'"
        ) from error


def __dir__() -> list[str]:
    return __all__
