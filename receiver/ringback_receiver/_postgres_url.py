"""Which PostgreSQL a URL means; as text it is fit to be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from ringback_receiver.errors import ConfigurationError

__all__ = ["Place", "parse_place"]

_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]*))?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a store is.

    :param shown: the URL without a password and without parameters.
    :param dsn: what the driver is told.
    :param secrets: what no message may contain.
    """

    shown: str
    dsn: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.shown

    def scrub(self, text: str) -> str:
        """Return a message without what is secret."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse_place(url: str) -> Place:
    """Read ``postgresql://user:password@host:5432/database``.

    :raises ConfigurationError: it cannot be read; the message does not contain it.
    """
    rest = url.partition("://")[2]
    login, at, _ = rest.rpartition("@")
    try:
        parts = urlsplit(url)
        password = parts.password or ""
        user, where, path = parts.username, parts.netloc.rpartition("@")[2], parts.path
    except ValueError:
        login, at = "/", "@"
    # A driver takes the pieces of a password that is not encoded for a host, a database or a parameter.
    if at and set(login) & set("/?#@[]"):
        raise ConfigurationError(
            "store: this postgresql:// URL cannot be read; write postgresql://user:password@host:5432/database, "
            "with special characters in the password percent-encoded"
        )
    if not all(_is_host(host) for host in where.split(",")):
        raise ConfigurationError("store: the port in this postgresql:// URL is no number from 1 to 65535")
    secrets = dict.fromkeys(secret for secret in (password, unquote(password), quote(unquote(password))) if secret)
    return Place(
        shown=f"postgresql://{f'{user}@' if user else ''}{where}{path}",
        dsn=url,
        secrets=tuple(sorted(secrets, key=len, reverse=True)),
    )


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and (not found["port"] or (len(found["port"]) < 6 and 0 < int(found["port"]) < 65_536))
