"""The caller's trace, from conf to the event and back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_protocol import CallbackRequest, decode_event, encode_event, parse_callback_request
from ringback_protocol.trace_context import is_traceparent, trace_id_of, traceparent_of

from .samples import URL, make_event

TRACE = "0af7651916cd43dd8448eb211c80319c"
GOOD = f"00-{TRACE}-b7ad6b7169203331-01"
HOSTILE: list[Any] = [
    None,
    1,
    [],
    {"a": GOOD},
    GOOD.encode(),
    "",
    GOOD + " ",
    GOOD + "\n",
    GOOD.upper(),
    GOOD[:-1],
    GOOD + "-00",
    f"01{GOOD[2:]}",
    f"ff{GOOD[2:]}",
    f"00-{'0' * 32}-b7ad6b7169203331-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-b7ad6b7169203331-0g",
    f"00-{TRACE}-b7ad6b716920333१-01",
    "00-" + "a" * 1_000_000,
    f"{GOOD}\r\nx-evil: 1",
]


def test_a_trace_travels_from_conf_to_the_event() -> None:
    """What the caller put into conf is what the event carries, and what is found in its bytes."""
    request = CallbackRequest(url=URL, traceparent=GOOD)
    assert parse_callback_request(request.to_conf()) == request
    body = encode_event(msgspec.structs.replace(make_event(), traceparent=GOOD))
    assert decode_event(body).traceparent == traceparent_of(body) == GOOD
    assert trace_id_of(GOOD) == TRACE


def test_who_does_not_trace_sends_what_he_always_did() -> None:
    """Without a trace neither conf nor event has the member."""
    assert "traceparent" not in CallbackRequest(url=URL).to_conf()["callback"]
    assert b"traceparent" not in encode_event(make_event())
    assert traceparent_of(encode_event(make_event())) is None


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value)[:30])
def test_a_malformed_trace_is_no_trace_and_costs_no_callback(value: Any) -> None:
    """The run is reported all the same (W3C Trace Context, 3.2.2)."""
    assert not is_traceparent(value)
    assert parse_callback_request({"callback": {"url": URL, "traceparent": value}}) == CallbackRequest(url=URL)


@pytest.mark.parametrize("value", [one for one in HOSTILE if not isinstance(one, bytes)], ids=lambda v: repr(v)[:30])
def test_bytes_that_are_no_event_have_no_trace(value: Any) -> None:
    """What lies in an outbox may be anything."""
    assert traceparent_of(msgspec.json.encode({"traceparent": value})) is None


@given(st.binary())
def test_no_bytes_break_the_search(body: bytes) -> None:
    """Nothing is raised, whatever the bytes are."""
    assert traceparent_of(body) is None or is_traceparent(traceparent_of(body))
