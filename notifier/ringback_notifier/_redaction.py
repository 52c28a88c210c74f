"""What is shown of URLs, and of texts that hold some: no password, no query, no fragment.  Pure.

A callback URL may carry a token of its caller's, and what a receiver answers may repeat it.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

__all__ = ["HIDDEN", "Body", "secrets_of", "shown_body", "shown_text", "shown_url"]

HIDDEN = "…"
"""Stands for what is not shown."""

_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>\\]+")
_QUERY = re.compile(r"\?[\w.~%+\[\]-]{1,100}=[^\s\"'<>\\]*")
"""A query of no whole URL: many a receiver answers with the path that it was asked for."""

_SHORTEST = 4  # of a secret: hiding every "1" would make an answer unreadable, and hides nothing

_MAY_BE_CUT = 500
"""Characters from which on a text's end may be missing, in the middle of a secret: so many are kept of an answer."""

# What writers of JSON spell as \uXXXX, with or without all that is not ASCII: nothing; Go and Rails; Gson; .NET.
_ESCAPED_IN_JSON = ("", "<>&", "<>&='", "<>&'+`\"")


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """An event's body, as far as it may be seen.

    :param text: as it was sent, but for what is hidden.
    :param pretty: the same with line breaks, or ``None`` where it is no JSON.
    :param redacted: whether anything is hidden.
    """

    text: str
    pretty: str | None
    redacted: bool


def shown_url(url: str) -> str:
    """Return a URL without userinfo, query and fragment, each replaced by a mark that there is one."""
    head, separator, rest = url.partition("://")
    if not separator:
        head, rest = "", url
    end = min((where for mark in "?#" if (where := rest.find(mark)) >= 0), default=len(rest))
    place, cut = rest[:end], rest[end:]
    authority, slash, path = place.partition("/")
    userinfo, at, host = authority.rpartition("@")
    if at and userinfo != HIDDEN:
        userinfo = HIDDEN
    mark = f"{cut[0]}{HIDDEN}" if cut else ""
    return f"{head}{separator}{userinfo}{at}{host}{slash}{path}{mark}"


def secrets_of(url: str | None) -> tuple[str, ...]:
    """Return the pieces of a URL that no text may repeat, in every spelling that is likely, the longest first."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ()
    pieces = {*parts.netloc.rpartition("@")[0].split(":"), parts.netloc.rpartition("@")[0], parts.query, parts.fragment}
    pieces |= {value for _, value in parse_qsl(parts.query, keep_blank_values=True)}
    pieces |= {value for pair in parts.query.split("&") for value in (pair, pair.partition("=")[2])}
    pieces |= {spelling for piece in pieces for spelling in (unquote(piece), unquote_plus(piece))}
    pieces |= {quote(piece, safe="") for piece in pieces}
    pieces |= {html.escape(piece) for piece in pieces} | {spelling for piece in pieces for spelling in _in_json(piece)}
    return tuple(sorted((piece for piece in pieces if len(piece) >= _SHORTEST), key=len, reverse=True))


def shown_text(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a text without these secrets and without queries, and with its URLs as :func:`shown_url` has them."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    if len(text) >= _MAY_BE_CUT:
        text = _without_beginning(text, secrets)
    return _QUERY.sub(f"?{HIDDEN}", _URL.sub(lambda found: shown_url(found[0]), text))


def _in_json(piece: str) -> set[str]:
    """Return how writers of JSON spell it."""
    found = set()
    for special, only_ascii, escape in product(_ESCAPED_IN_JSON, (True, False), ("\\u{:04x}", "\\u{:04X}")):
        signs = (
            escape.format(ord(sign)) if sign in special or (only_ascii and not sign.isascii()) else sign
            for sign in piece
        )
        found.add("".join(signs))
    return found | {spelling.replace("/", "\\/") for spelling in found}


def _without_beginning(text: str, secrets: tuple[str, ...]) -> str:
    """Return a text that does not end with a secret's beginning."""
    longest = max(
        (
            size
            for secret in secrets
            if secret[:_SHORTEST] in text[-len(secret) :]
            for size in range(_SHORTEST, len(secret))
            if text.endswith(secret[:size])
        ),
        default=0,
    )
    return text[:-longest] + HIDDEN if longest else text


def shown_body(body: bytes, secrets: tuple[str, ...] = ()) -> Body:
    """Return an event's body with the same hidden in every string of it."""
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text)
        shown = _redacted(document, secrets)
        changed = shown != document
        return Body(
            text=json.dumps(shown, ensure_ascii=False, separators=(",", ":")) if changed else text,
            pretty=json.dumps(shown, ensure_ascii=False, indent=2),
            redacted=changed,
        )
    except (ValueError, RecursionError):
        hidden = shown_text(text, secrets)
        return Body(text=hidden, pretty=None, redacted=hidden != text)


def _redacted(value: Any, secrets: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        return shown_text(value, secrets)
    if isinstance(value, list):
        return [_redacted(item, secrets) for item in value]
    if isinstance(value, dict):
        return {shown_text(name, secrets): _redacted(item, secrets) for name, item in value.items()}
    return value
