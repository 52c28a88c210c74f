"""What can go wrong in the protocol.

    ProtocolError
    ├── CallbackUrlError         a callback URL cannot be one
    ├── CallbackRequestError     conf asks for a callback in a way that cannot be honoured
    ├── KeyFormatError           a key is not what its prefix says
    ├── EventTooLargeError       an event cannot be made to fit the wire
    └── VerificationError        an incoming event is not to be believed

Every error carries a machine-readable ``reason`` and the HTTP ``status`` that suits it.  None of them
ever carries a key, a body or a signature.
"""

from __future__ import annotations

from enum import Enum

__all__ = [
    "CallbackRequestError",
    "CallbackUrlError",
    "EventTooLargeError",
    "KeyFormatError",
    "ProtocolError",
    "Refusal",
    "VerificationError",
]


class ProtocolError(Exception):
    """Root of everything this package raises on purpose."""

    reason: str = "protocol_error"
    status: int = 400


class CallbackUrlError(ProtocolError, ValueError):
    """A text cannot be a callback URL.

    :param problem: what is wrong with it, and what would be right; it shows nothing of the URL.
    """

    reason = "malformed_url"

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class CallbackRequestError(ProtocolError, ValueError):
    """A member of ``dag_run.conf`` that asks for a callback is wrong.

    :param key: the dotted path of the offending member, such as ``callback.url``.
    :param problem: what is wrong with it, and what would be right.
    """

    reason = "malformed_callback_request"

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        return f"conf[{self.key!r}]: {self.problem}"


class KeyFormatError(ProtocolError, ValueError):
    """A key is malformed; the message never shows any part of it past its prefix."""

    reason = "malformed_key"
    status = 500


class EventTooLargeError(ProtocolError, ValueError):
    """An event is larger than the wire allows even without its result and its list of failed tasks."""

    reason = "event_too_large"
    status = 413


class Refusal(str, Enum):
    """Why a verifier refused: the check that failed, and nothing about the content."""

    MISSING_HEADER = "missing_header"
    DUPLICATE_HEADER = "duplicate_header"
    MALFORMED_HEADER = "malformed_header"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_TOO_NEW = "timestamp_too_new"
    BAD_SIGNATURE = "bad_signature"
    WRONG_AUDIENCE = "wrong_audience"
    TOO_LARGE = "too_large"
    MALFORMED_EVENT = "malformed_event"
    UNKNOWN_VERSION = "unknown_version"
    ID_MISMATCH = "id_mismatch"


_STATUS = {
    Refusal.TIMESTAMP_TOO_OLD: 401,
    Refusal.TIMESTAMP_TOO_NEW: 401,
    Refusal.BAD_SIGNATURE: 401,
    Refusal.WRONG_AUDIENCE: 403,
    Refusal.TOO_LARGE: 413,
}


class VerificationError(ProtocolError):
    """An incoming request is not a valid, fresh, signed event for this receiver.

    :param refusal: which check failed; ``reason`` is its value and ``status`` the answer that suits it
        (400, 401, 403 or 413).
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal
        self.reason = refusal.value
        self.status = _STATUS.get(refusal, 400)

    def __str__(self) -> str:
        return self.reason
