"""For how long the relay uses a token."""

from __future__ import annotations

import base64
import json

import pytest

from ringback_notifier.relay._token import DEFAULT_LIFETIME, lifetime, read_token


def jwt(**claims: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.sig"


def test_a_minute_is_kept_in_reserve() -> None:
    """A token of a day is renewed a minute before its end."""
    assert lifetime(jwt(iat=1_000, exp=87_400), now=1_000.0) == 86_400 - 60


def test_of_a_short_token_a_tenth_is_kept_in_reserve() -> None:
    """A token of a hundred seconds is used for ninety."""
    assert lifetime(jwt(iat=1_000, exp=1_100), now=1_000.0) == 90


@pytest.mark.parametrize("now", [-1e9, 1e9])
def test_a_local_clock_that_is_wrong_does_no_harm(now: float) -> None:
    """The lifetime is what the server meant, though here it is another year."""
    assert lifetime(jwt(iat=1_000, exp=1_100), now=now) == 90


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "a..c", jwt(iat=5), jwt(exp=10, iat=20)])
def test_a_token_that_says_nothing_gets_a_fixed_lifetime(token: str) -> None:
    """Whatever is no JWT with an end is used for ten minutes."""
    assert lifetime(token, now=15.0) == DEFAULT_LIFETIME


def test_the_token_is_read_from_airflows_answer() -> None:
    """It is in access_token."""
    assert read_token(b'{"access_token": "abc", "token_type": "bearer"}') == "abc"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"access_token": ""}', b'{"access_token": "a\\nb"}', b'{"access_token": 1}', b"\xff"]
)
def test_what_no_header_can_carry_is_no_token(body: bytes) -> None:
    """A broken token is noticed here, not by the HTTP library, whose error would quote it."""
    assert read_token(body) is None
