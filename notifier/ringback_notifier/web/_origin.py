"""Whether a request that changes something came from the page itself.  Pure.

Airflow's session cookie is sent along with another site's form (it is ``SameSite=Lax``, and sites share a domain), so
the browser's word on who asks is what counts: no page can write another ``Origin`` than its own.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

__all__ = ["is_json", "is_own_origin"]

_PORTS = {"http": 80, "https": 443}


def is_own_origin(origin: str | None, *, base_url: str | None, scheme: str, host: str | None) -> bool:
    """Say whether an ``Origin`` is the address that Airflow is known by, or that this request was sent to.

    The second is what counts where no ``[api] base_url`` is set: the browser sends the session cookie to no other
    host than the one that it is of.  A proxy may have taken the encryption off, but nobody puts it on; and who is
    known by an ``https`` address has no page at an ``http`` one, whatever connection the request came with.

    :param base_url: ``[api] base_url``.
    :param scheme: that the request came with.
    :param host: its ``Host``.
    """
    asked = _place(origin)
    if asked is None:
        return False
    known = _place(base_url)
    if asked == known:
        return True
    schemes = ("https",) if known is not None and known[0] == "https" else (scheme, "https")
    return asked[0] in schemes and asked == _place(f"{asked[0]}://{host or ''}")


def is_json(content_type: str | None) -> bool:
    """Say whether a request says that its body is JSON, which no form and no simple request of another site can."""
    return (content_type or "").partition(";")[0].strip().lower() == "application/json"


def _place(url: str | None) -> tuple[str, str, int] | None:
    """Return scheme, host and port, or ``None`` for what is no web address (``null`` among others)."""
    try:
        parts: SplitResult = urlsplit(url or "")
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port and "@" not in parts.netloc else None
