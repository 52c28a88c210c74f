"""SQLite's files, as URLs name them; looking for one makes none.  Pure but for that look."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_missing", "sqlite_file"]

_PREFIX = "sqlite:///"


def sqlite_file(url: str) -> Path | None:
    """Return the file that a URL names, or ``None`` if it names a server, or a database in memory."""
    name = url.removeprefix(_PREFIX)
    return Path(name) if url.startswith(_PREFIX) and name not in ("", ":memory:") else None


def is_missing(url: str) -> bool:
    """Tell whether a URL names a file that is not there: opening it would make it, and it would belong to us."""
    file = sqlite_file(url)
    return file is not None and not file.exists()
