"""The error tree."""

from __future__ import annotations

import pickle

import pytest

from ringback_protocol import (
    CallbackRequestError,
    EventTooLargeError,
    KeyFormatError,
    ProtocolError,
    Refusal,
    VerificationError,
)


@pytest.mark.parametrize(
    ("error", "reason", "status"),
    [
        (ProtocolError(), "protocol_error", 400),
        (CallbackRequestError("callback.url", "missing"), "malformed_callback_request", 400),
        (KeyFormatError("no"), "malformed_key", 500),
        (EventTooLargeError("no"), "event_too_large", 413),
        (VerificationError(Refusal.BAD_SIGNATURE), "bad_signature", 401),
    ],
)
def test_every_error_has_a_reason_and_a_status(error: ProtocolError, reason: str, status: int) -> None:
    """One ``except ProtocolError`` can log and answer whatever the package raises."""
    assert isinstance(error, ProtocolError)
    assert (error.reason, error.status) == (reason, status)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal.MISSING_HEADER, 400),
        (Refusal.DUPLICATE_HEADER, 400),
        (Refusal.MALFORMED_HEADER, 400),
        (Refusal.TIMESTAMP_TOO_OLD, 401),
        (Refusal.TIMESTAMP_TOO_NEW, 401),
        (Refusal.BAD_SIGNATURE, 401),
        (Refusal.WRONG_AUDIENCE, 403),
        (Refusal.TOO_LARGE, 413),
        (Refusal.MALFORMED_EVENT, 400),
        (Refusal.UNKNOWN_VERSION, 400),
        (Refusal.ID_MISMATCH, 400),
    ],
)
def test_every_refusal_has_its_status(refusal: Refusal, status: int) -> None:
    """The answer that a refusal suggests is part of the contract, and so is its word."""
    error = VerificationError(refusal)
    assert error.status == status
    assert (error.refusal, error.reason, str(error)) == (refusal, refusal.value, refusal.value)


def test_no_refusal_is_forgotten_above() -> None:
    """A refusal that is added must be given its status on purpose."""
    assert len(Refusal) == 11


def test_a_callback_request_error_names_the_key() -> None:
    """The message starts with the member at fault, quoted so that a control character cannot forge a log line."""
    error = CallbackRequestError("callback.a\nb", "unknown")
    assert str(error) == r"conf['callback.a\nb']: unknown"
    assert (error.key, error.problem) == ("callback.a\nb", "unknown")


@pytest.mark.parametrize(
    "error", [CallbackRequestError("callback.url", "missing"), VerificationError(Refusal.BAD_SIGNATURE)]
)
def test_an_error_crosses_process_borders(error: ProtocolError) -> None:
    """Pickled and read again, as in a process pool, an error says and holds the same."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
