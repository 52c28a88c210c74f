"""What ``[ringback] outbox_url`` means.  No password survives into anything that is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from ringback_notifier.errors import OutboxError

__all__ = ["OPTION", "Place", "parse_url"]

OPTION = "[ringback] outbox_url"

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_SECRET = ("password", "sslpassword")
_HIDDEN = "***"
_PORTS = re.compile(r"[0-9,]*", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an outbox is; as text it is fit to be shown.

    :param shown: the URL without a password and without parameters.
    :param path: of the SQLite file.
    :param conninfo: what libpq is told.
    :param secrets: what no message may contain.
    """

    kind: Literal["sqlite", "postgresql"]
    shown: str
    path: str = ""
    conninfo: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.shown

    def scrub(self, message: str) -> str:
        """Return a driver's message on one line, without a secret."""
        for secret in self.secrets:
            message = message.replace(secret, _HIDDEN)
        return " ".join(message.split())


def parse_url(url: str) -> Place:
    """Return the place that a URL names.

    :param url: ``sqlite:////absolute/path``, or PostgreSQL's ``postgresql://`` with everything that libpq knows.
    :raises OutboxError: for any other.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return _sqlite(rest)
    if separator and scheme in _POSTGRES:
        return _postgresql(f"postgresql://{rest}")
    shown = f"{scheme}://…" if separator else "what it says"
    raise OutboxError(
        f"{OPTION}: {shown} is no outbox; write sqlite:////var/lib/ringback/outbox.db or postgresql://user@host/database"
    )


def _sqlite(rest: str) -> Place:
    path = rest[1:] if rest.startswith("/") else ""
    if not path.startswith("/") or path.endswith("/") or "?" in path:
        shown = "what it says" if "@" in rest else f"sqlite://{rest}"
        raise OutboxError(
            f"{OPTION}: {shown} does not name a file by its absolute path, which is the same for every component; "
            "write sqlite:////var/lib/ringback/outbox.db, with four slashes and no parameters"
        )
    return Place(kind="sqlite", shown=f"sqlite:///{path}", path=path)


def _postgresql(url: str) -> Place:
    try:
        from psycopg import Error
        from psycopg.conninfo import conninfo_to_dict, make_conninfo
    except ImportError as error:
        raise OutboxError(f"{OPTION}: PostgreSQL needs psycopg 3: pip install 'airflow-ringback[postgres]'") from error
    try:
        said = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (Error, ValueError):
        said = {}
    # libpq takes the pieces of a password that is not encoded for a host, a port, a database or a parameter.
    login, at, _ = url.partition("://")[2].rpartition("@")
    if not said or (at and set(login) & set("/?#@")) or not _PORTS.fullmatch(said.get("port", "")):
        raise OutboxError(
            f"{OPTION}: this postgresql:// URL cannot be read; write postgresql://user:password@host:5432/database, "
            "with special characters in the password percent-encoded"
        ) from None
    secrets = [said[name] for name in _SECRET if said.get(name)]
    secrets += [quote(secret, safe="") for secret in secrets]
    return Place(
        kind="postgresql",
        shown=_shown(said),
        conninfo=make_conninfo(**said),
        secrets=tuple(dict.fromkeys(secrets)),
    )


def _shown(said: dict[str, str]) -> str:
    user = f"{said['user']}@" if said.get("user") else ""
    hosts = (said.get("host") or said.get("hostaddr") or "").split(",")
    ports = said.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    where = ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{user}{where}/{said.get('dbname', '')}"
