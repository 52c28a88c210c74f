"""What can go wrong in the notifier.

    NotifierError
    ├── DestinationError        a connection of type ringback is missing or malformed
    │   └── DestinationMissing  … there is none of that name
    ├── NotAllowedError         the destination does not allow the callback URL
    │   └── AddressRefused      … because of an address of its host
    ├── DeliveryError           an attempt was made and the event is not delivered
    │   └── GaveUpError         … and no further attempt will help
    └── OutboxError             the outbox cannot be used: its URL, file or schema is not right
        └── OutboxUnavailable   … just now: unreachable, locked or too slow; the same may work later

Messages are meant for the person who reads the task's log: they name the connection, the field and
the mend.  None carries a key, a password, a query string or a body.
"""

from __future__ import annotations

__all__ = [
    "AddressRefused",
    "DeliveryError",
    "DestinationError",
    "DestinationMissing",
    "GaveUpError",
    "NotAllowedError",
    "NotifierError",
    "OutboxError",
    "OutboxUnavailable",
]


class NotifierError(Exception):
    """Root of everything the notifier raises on purpose."""

    reason: str = "notifier_error"


class DestinationError(NotifierError):
    """A destination's Airflow connection is missing or malformed."""

    reason = "malformed_destination"


class DestinationMissing(DestinationError):
    """Airflow has no connection for a destination of that name."""

    reason = "missing_destination"


class NotAllowedError(NotifierError):
    """No pattern in the destination's allow-list matches the callback URL, so nothing was sent."""

    reason = "not_allowed"


class AddressRefused(NotAllowedError):
    """The callback URL's host has an address that events are not sent to, so nothing was sent."""

    reason = "address_refused"


class DeliveryError(NotifierError):
    """The event was not delivered, but a later attempt may succeed.

    :param retry_after: seconds to wait at least before the next attempt, or ``None``.
    """

    reason = "not_delivered"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GaveUpError(DeliveryError):
    """The receiver wants no further attempt."""

    reason = "gave_up"


class OutboxError(NotifierError):
    """The outbox cannot be used as it is; the message names it and the mend."""

    reason = "outbox"


class OutboxUnavailable(OutboxError):
    """The outbox cannot be reached, is locked, or did not answer in time; nothing is known to have been written."""

    reason = "outbox_unavailable"
