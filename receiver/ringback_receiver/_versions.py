"""Which schemas are known, and what is to be done about a store's.  Pure."""

from __future__ import annotations

from collections.abc import Collection

from ringback_receiver.errors import ConfigurationError

__all__ = ["COMMAND", "HEAD", "LOCK", "TABLES", "VERSIONS", "VERSION_TABLE", "is_current"]

VERSIONS = ("0001",)
"""Of ``migrations/versions``, the oldest first."""

HEAD = VERSIONS[-1]
VERSION_TABLE = "ringback_store_version"
TABLES = frozenset({"requests", "events", "handler_calls", "leases"})
COMMAND = "ringback store migrate"
LOCK = 0x72696E6773746F72
""""ringstor": the advisory lock of whoever migrates."""


def is_current(shown: str, version: str | None, tables: Collection[str]) -> bool:
    """Tell whether a store's schema is ours; if not, it may be brought to it.

    :param shown: the store, as errors name it.
    :param version: that it says it has, ``None`` if it says nothing.
    :param tables: that are there.
    :raises ConfigurationError: it is one that this release does not know.
    """
    if version is None and TABLES.intersection(tables):
        raise ConfigurationError(
            f"store: {shown} has tables of ours, or of somebody else's, and no schema version: it is of no release; "
            "move it away, and a new one is made"
        )
    if version is not None and version not in VERSIONS:
        raise ConfigurationError(
            f"store: {shown} has schema version {version}, and this release of airflow-ringback knows "
            f"{', '.join(VERSIONS)}: upgrade airflow-ringback"
        )
    return version == HEAD
