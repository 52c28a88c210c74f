"""Which store a URL means; a store's code is imported only when it is asked for."""

from __future__ import annotations

from ringback_receiver._store import Store
from ringback_receiver.errors import ConfigurationError

__all__ = ["store_from_url"]


def store_from_url(url: str) -> Store:
    """Return the store, not yet open.

    :param url: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, or ``sqlite://`` for one in memory
        that dies with the process; ``postgresql://user:password@host:5432/database`` for many replicas.
    :raises ConfigurationError: for any other.
    :raises MissingDependency: the driver is not installed.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        from ringback_receiver._sqlite import SqliteStore

        if rest in ("", "/:memory:"):
            return SqliteStore(":memory:")
        if rest.startswith("/") and len(rest) > 1:
            return SqliteStore(rest[1:])
        raise ConfigurationError(
            f"store: {url!r} has no path; write sqlite:///ringback.db, or sqlite:////var/lib/ringback.db"
        )
    if separator and scheme in ("postgresql", "postgres"):
        from ringback_receiver._postgres_url import parse_place

        place = parse_place(url)
        from ringback_receiver._postgres import PostgresStore

        return PostgresStore(place)
    # A URL of another kind may hold a password: only its scheme is shown.
    shown = f"{scheme}://…" if separator else repr(url)
    raise ConfigurationError(
        f"store: {shown} is no store that is known; write sqlite:///ringback.db, "
        "or postgresql://user:password@host:5432/database"
    )
