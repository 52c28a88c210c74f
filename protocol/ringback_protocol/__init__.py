"""The wire between Airflow and whoever waits: events, callback requests, keys, signatures.

No I/O, no clock, no Airflow, no web framework.
"""

from __future__ import annotations

from ringback_protocol.callback_request import CallbackRequest, parse_callback_request
from ringback_protocol.callback_url import CallbackUrl, parse_callback_url
from ringback_protocol.errors import (
    CallbackRequestError,
    CallbackUrlError,
    EventTooLargeError,
    KeyFormatError,
    ProtocolError,
    Refusal,
    VerificationError,
)
from ringback_protocol.event import (
    MAX_EVENT_BYTES,
    CompletionData,
    CompletionEvent,
    FailedTask,
    ResultOmitted,
    decode_event,
    encode_event,
)
from ringback_protocol.event_id import event_id
from ringback_protocol.keys import (
    PrivateKey,
    PublicKey,
    Secret,
    SigningKey,
    VerificationKey,
    parse_signing_keys,
    parse_verification_keys,
)
from ringback_protocol.signing import sign
from ringback_protocol.verifying import DEFAULT_TOLERANCE, verify_event, verify_signature

__all__ = [
    # what is asked for, and what is reported
    "CallbackRequest",
    "parse_callback_request",
    "CallbackUrl",
    "parse_callback_url",
    "CompletionEvent",
    "CompletionData",
    "FailedTask",
    "ResultOmitted",
    "MAX_EVENT_BYTES",
    "encode_event",
    "decode_event",
    "event_id",
    # keys
    "SigningKey",
    "VerificationKey",
    "PrivateKey",
    "PublicKey",
    "Secret",
    "parse_signing_keys",
    "parse_verification_keys",
    # signing and verifying
    "sign",
    "verify_event",
    "verify_signature",
    "DEFAULT_TOLERANCE",
    # errors
    "ProtocolError",
    "CallbackRequestError",
    "CallbackUrlError",
    "EventTooLargeError",
    "KeyFormatError",
    "Refusal",
    "VerificationError",
]
