"""Canonical base64."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_protocol._base64 import decode_canonical, encode


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_what_is_encoded_decodes_to_itself(raw: bytes) -> None:
    """Decoding undoes encoding."""
    assert decode_canonical(encode(raw).encode()) == raw


@given(st.text(alphabet="AQgw+/-_= \n,é", max_size=8))
@settings(deadline=None)
def test_a_value_has_one_spelling(text: str) -> None:
    """Whatever decodes is exactly what encoding would have given."""
    raw = decode_canonical(text.encode())
    assert raw is None or encode(raw) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("/+8", id="unpadded"),
        pytest.param("/+8==", id="padded too much"),
        pytest.param("_-8=", id="URL-safe alphabet"),
        pytest.param("/+9=", id="stray bits"),
        pytest.param("/+ 8=", id="space inside"),
        pytest.param("/+8=\n", id="newline after"),
        pytest.param(" /+8=", id="space before"),
        pytest.param("/+8=AAAA", id="data after the padding"),
        pytest.param("/+8=,", id="other character"),
        pytest.param("/+\uff18=", id="fullwidth digit"),
        pytest.param("=", id="padding alone"),
        pytest.param("A", id="six bits"),
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    """No other text than ``/+8=`` stands for the bytes ff ef."""
    assert decode_canonical(b"/+8=") == b"\xff\xef"
    assert decode_canonical(text.encode()) is None
