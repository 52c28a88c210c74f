"""The public halves of the keys that a destination signs with, as the API server can look them up."""

from __future__ import annotations

__all__ = ["VALID_FOR", "public_keys"]

VALID_FOR = 7 * 24 * 3_600
"""Seconds for which whoever cannot ask again may go on trusting a key: longer than the relay goes on delivering."""


def public_keys(destination: str) -> tuple[str, ...]:
    """Return the ``whpk_`` keys of a destination, newest first; none where it has none, is malformed or missing.

    It blocks, and loads what the plugin itself must not: run it in a thread.

    :raises Exception: whatever a secrets back end fails with, so that nobody takes an outage for a withdrawal.
    """
    from ringback_notifier._compat import server_connection
    from ringback_notifier._destination import CONNECTION_TYPE, connection_id
    from ringback_protocol import KeyFormatError, PrivateKey, parse_signing_keys

    connection = server_connection(connection_id(destination))
    if connection is None or connection.conn_type != CONNECTION_TYPE:
        return ()
    try:
        keys = parse_signing_keys(connection.password or "")
    except KeyFormatError:
        return ()
    return tuple(str(key.public()) for key in keys if isinstance(key, PrivateKey))
