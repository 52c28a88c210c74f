"""Verifying, against whatever chance brings up."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_protocol import CompletionEvent, Refusal, VerificationError, verify_event

from .samples import ID, NOW, PRIVATE, PUBLIC, SECRET, URL, as_bytes, as_json, make_event, signed


def verify(headers: Any, body: Any, now: float = NOW) -> CompletionEvent | Refusal:
    """Return the event or the refusal; anything else is raised and fails the test."""
    try:
        event = verify_event(headers, body, keys=[PUBLIC, SECRET], audiences=[URL], now=now)
    except VerificationError as error:
        assert error.status in {400, 401, 403, 413}  # noqa: PT017
        assert str(error) == error.reason == error.refusal.value  # noqa: PT017
        return error.refusal
    assert isinstance(event, CompletionEvent)
    return event


WANTED = st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "Webhook-Id", b"WEBHOOK-ID"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=4,
)
PLAUSIBLE = st.sampled_from([ID, str(NOW), f"v1,{'A' * 43}=", f"v1a,{'A' * 86}==", ID.encode(), b"0", "\x00"])
HEADERS = (
    ANYTHING
    | st.dictionaries(WANTED | st.text(max_size=10) | st.integers(), PLAUSIBLE | ANYTHING, max_size=5)
    | st.lists(st.tuples(WANTED | ANYTHING, PLAUSIBLE | ANYTHING), max_size=5)
)


@given(HEADERS, st.binary(max_size=200) | ANYTHING, st.floats() | st.just(NOW))
@settings(max_examples=250, deadline=None)
def test_nothing_unsigned_is_believed(headers: Any, body: Any, now: float) -> None:
    """Any headers and any body give a refusal, never an event and never another exception."""
    assert isinstance(verify(headers, body, now), Refusal)


SERVED = st.lists(
    st.tuples(
        st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"Webhook-Id", "webhook-id"])
        | st.binary(max_size=18),
        st.sampled_from([ID.encode(), str(NOW).encode(), ID, None, b"\xff", b""]) | st.binary(max_size=5),
    )
    | ANYTHING,
    max_size=4,
)


@given(SERVED, SERVED, st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_list_of_pairs_is_judged_as_anything_else_is(before: list[Any], after: list[Any], good: bool) -> None:
    """What an ASGI server hands over has a short way through the verifier, and no other outcome."""
    headers, body = signed()
    middle = [(name.encode(), value.encode()) for name, value in headers.items()] if good else []
    pairs = [*before, *middle, *after]
    assert verify(pairs, body) == verify(iter(pairs), body)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_signed_noise_is_refused(body: bytes) -> None:
    """Even a trusted key does not turn noise into an event."""
    assert verify(*signed(body, keys=(SECRET,))) in {Refusal.MALFORMED_EVENT, Refusal.UNKNOWN_VERSION}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.sampled_from([*as_json(), "new"])
DATA_MEMBERS = st.sampled_from([*as_json()["data"], "result_omitted", "new"])


@given(
    st.dictionaries(MEMBERS, JSON, max_size=2),
    st.dictionaries(DATA_MEMBERS, JSON, max_size=3),
    st.sets(MEMBERS, max_size=1),
)
@settings(max_examples=150, deadline=None)
def test_a_signed_event_with_odd_members_is_an_event_or_refused(
    envelope: dict[str, Any], data: dict[str, Any], missing: set[str]
) -> None:
    """A trusted sender with peculiar ideas gets an answer."""
    event = as_json()
    event["data"].update(data)
    event.update(envelope)
    for member in missing:
        event.pop(member, None)
    outcome = verify(*signed(as_bytes(event), keys=(SECRET,)))
    if isinstance(outcome, CompletionEvent):
        assert (outcome.id, outcome.audience) == (ID, URL)


@st.composite
def mutations(draw: st.DrawFn) -> tuple[int, str, int, bytes]:
    """Where to damage which part of a request, and how."""
    part = draw(st.integers(0, 3))
    how = draw(st.sampled_from(["flip", "insert", "delete", "truncate", "repeat", "swap"]))
    return part, how, draw(st.integers(0, 10_000)), draw(st.binary(min_size=1, max_size=4))


def _mutate(raw: bytes, how: str, where: int, with_: bytes) -> bytes:
    where %= len(raw) + (how == "insert")
    if how == "flip":
        return raw[:where] + bytes([raw[where] ^ (with_[0] or 1)]) + raw[where + 1 :]
    if how == "insert":
        return raw[:where] + with_ + raw[where:]
    if how == "delete":
        return raw[:where] + raw[where + len(with_) :]
    if how == "truncate":
        return raw[:where]
    if how == "repeat":
        return raw[:where] + raw
    return raw[where:] + raw[:where]


NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")


@given(st.lists(mutations(), min_size=1, max_size=2), st.sampled_from([PRIVATE, SECRET]))
@settings(max_examples=300, deadline=None)
def test_a_damaged_request_is_never_believed(damages: list[tuple[int, str, int, bytes]], key: Any) -> None:
    """Unless damage undoes itself, no byte of the body, the id or the timestamp can change."""
    headers, body = signed(keys=(key,))
    parts = [headers[name].encode() for name in NAMES] + [body]
    damaged = list(parts)
    for part, how, where, with_ in damages:
        damaged[part] = _mutate(damaged[part], how, where, with_) if damaged[part] else with_
    outcome = verify(list(zip(NAMES, damaged, strict=False)), damaged[3])
    if isinstance(outcome, CompletionEvent):
        # What may change is only what surrounds the good signature: tokens that are passed over.
        assert (damaged[0], damaged[1], damaged[3]) == (parts[0], parts[1], parts[3])
        assert parts[2] in damaged[2].split(b" ")
        assert outcome == make_event()


def test_no_single_bit_of_a_body_can_change() -> None:
    """All of them are signed, one after the other."""
    headers, body = signed(keys=(SECRET,))
    for position in range(len(body)):
        damaged = bytearray(body)
        damaged[position] ^= 1 << position % 8
        assert verify(headers, damaged) is Refusal.BAD_SIGNATURE
