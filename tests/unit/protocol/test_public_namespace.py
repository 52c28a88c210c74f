"""What the package offers, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import ringback_protocol

FORBIDDEN = ("airflow", "fastapi", "httpcore", "httpx", "pydantic", "sqlalchemy", "starlette")


def test_the_public_names_are_these() -> None:
    """A name that appears or disappears is a decision, not an accident."""
    assert set(ringback_protocol.__all__) == {
        "CallbackRequest",
        "CallbackRequestError",
        "CallbackUrl",
        "CallbackUrlError",
        "CompletionData",
        "CompletionEvent",
        "DEFAULT_TOLERANCE",
        "EventTooLargeError",
        "FailedTask",
        "KeyFormatError",
        "MAX_EVENT_BYTES",
        "PrivateKey",
        "ProtocolError",
        "PublicKey",
        "Refusal",
        "ResultOmitted",
        "Secret",
        "SigningKey",
        "VerificationError",
        "VerificationKey",
        "decode_event",
        "encode_event",
        "event_id",
        "parse_callback_request",
        "parse_callback_url",
        "parse_signing_keys",
        "parse_verification_keys",
        "sign",
        "verify_event",
        "verify_signature",
    }
    assert len(ringback_protocol.__all__) == len(set(ringback_protocol.__all__))


def test_every_public_name_exists() -> None:
    """``from ringback_protocol import *`` works."""
    assert [name for name in ringback_protocol.__all__ if not hasattr(ringback_protocol, name)] == []


def test_importing_pulls_in_neither_side() -> None:
    """The protocol imports without Airflow, a web framework, an HTTP client or a database."""
    code = (
        "import sys, ringback_protocol, ringback_protocol.schema;"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules],"
        "[name for name in sys.modules if name.startswith('ringback_') and 'protocol' not in name])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] []"
