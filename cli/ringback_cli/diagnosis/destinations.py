"""The Airflow connections that sign events and say where they may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringback_cli.diagnosis.finding import Finding, fine, problem, warning

if TYPE_CHECKING:
    from ringback_notifier._destination import Destination

__all__ = ["destination"]

_MOST_KEYS = 8
"""Signatures that a verifier looks at."""


def destination(name: str) -> Iterator[Finding]:
    """Whether a destination is there and can be used."""
    from ringback_notifier._context import load_destination
    from ringback_notifier.errors import NotifierError

    subject = f"connection ringback_{name}"
    try:
        found = load_destination(name)
    except NotifierError as error:
        yield problem(subject, str(error))
        return
    yield _keys(subject, found)
    yield _allowed(subject, found)
    try:
        found.ssl_context()
    except NotifierError as error:
        yield problem(subject, str(error), "its path must be readable on every worker, and by the DAG processor")


def _keys(subject: str, found: Destination) -> Finding:
    from ringback_protocol import PrivateKey

    schemes = ["Ed25519" if isinstance(key, PrivateKey) else "HMAC" for key in found.keys]
    said = f"signs with {len(schemes)} {'key' if len(schemes) == 1 else 'keys'} ({', '.join(schemes)})"
    if len(schemes) > _MOST_KEYS:
        return problem(subject, said, f"receivers look at {_MOST_KEYS} signatures: `ringback keys rotate --finish`")
    return fine(subject, said)


def _allowed(subject: str, found: Destination) -> Finding:
    if not found.allow:
        return problem(
            subject, "its extra allows no URL, so nothing is ever sent", 'add "allow": ["https://portal.example/"]'
        )
    shown = [f"{pattern.scheme}://{pattern.host}:{pattern.port}/{'/'.join(pattern.path)}" for pattern in found.allow]
    said = f"allows {', '.join(shown[:5])}{' and more' if len(shown) > 5 else ''}"
    open_ones = [pattern for pattern in found.allow if pattern.scheme == "http" and not _is_loopback(pattern.host)]
    if open_ones:
        return warning(subject, said, "over http everybody on the way reads events: use https")
    return fine(subject, said)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
