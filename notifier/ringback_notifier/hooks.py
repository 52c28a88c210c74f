"""The hook behind connections of type ``ringback``; Airflow refuses to start on a connection type without one."""

from __future__ import annotations

from typing import Any

from ringback_notifier._compat import base_hook

__all__ = ["RingbackHook"]


class RingbackHook(base_hook()):  # type: ignore[misc]
    """
    Check a destination's connection.

    :param ringback_conn_id: id of the connection, ``ringback_<destination>``.
    """

    conn_name_attr = "ringback_conn_id"
    default_conn_name = "ringback_default"
    conn_type = "ringback"
    hook_name = "Ringback destination"

    def __init__(self, ringback_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.ringback_conn_id = ringback_conn_id

    def test_connection(self) -> tuple[bool, str]:
        """Tell whether keys, allow-list and certificates can be used; nothing is sent."""
        from ringback_notifier._context import load_destination
        from ringback_notifier.errors import DestinationError

        try:
            # Airflow's connection form tests under a random id, so any id will do.
            name = self.ringback_conn_id.removeprefix("ringback_")
            destination = load_destination(name, conn_id=self.ringback_conn_id)
            destination.ssl_context()
        except DestinationError as error:
            return False, str(error)
        if not destination.allow:
            return False, 'keys are fine, but "allow" is empty: nothing would be sent'
        return (
            True,
            f"{len(destination.keys)} signing key(s), {len(destination.allow)} allowed URL pattern(s)",
        )

    def get_conn(self) -> Any:
        """Refuse: a destination is nothing to connect to before an event goes out."""
        raise NotImplementedError("a ringback connection holds settings; there is nothing to connect to")
