"""A trusted sender with peculiar ideas: what is signed and well-formed is recorded and can be read again."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringing import URL, FakeAirflow, make_event

from ringback_protocol import MAX_EVENT_BYTES, PrivateKey, encode_event, sign
from ringback_receiver import Answer, Receiver

KEY = PrivateKey.generate()
TEMPLATE: dict[str, Any] = json.loads(encode_event(make_event(None, "run_1")))


async def ring(receiver: Receiver, body: bytes) -> Answer:
    headers = sign(TEMPLATE["id"], body, keys=[KEY], timestamp=int(time.time()))
    return await receiver.handle(headers, body)


def spelt(result: str) -> bytes:
    """Return an event with a result that is spelt like this, which no encoder of ours would do."""
    event = json.dumps({**TEMPLATE, "data": {**TEMPLATE["data"], "result": "HERE"}})
    return event.replace('"HERE"', result).encode("utf-8", "surrogatepass")


async def answered_and_read_again(body: bytes) -> int:
    """Ring with an event, then ask for its run, and read the completion if it was taken."""
    async with Receiver(URL, str(KEY.public()), FakeAirflow(), "sqlite://") as receiver:
        answer = await ring(receiver, body)
        if answer.status < 300:
            run = await receiver.trigger(TEMPLATE["data"]["dag_id"], run_id=TEMPLATE["data"]["run_id"])
            assert (await ring(receiver, body)).outcome == "duplicate"
            assert (await run.completion(timeout=0)).succeeded
        return answer.status


TEXT = (
    st.text(max_size=40) | st.text(st.characters(codec=None), max_size=5) | st.sampled_from(["\x00", "'; --", "\u2028"])
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(dag_id=TEXT, run_id=TEXT, correlation_id=st.none() | TEXT, reason=st.none() | TEXT, result=JSON)
@settings(max_examples=80, deadline=None, derandomize=True, database=None)
def test_odd_texts_are_recorded_or_refused(**odd: Any) -> None:
    """No text and no value makes anything but an answer; half a surrogate pair is no text."""
    data = {**TEMPLATE["data"], **{name: odd[name] for name in ("dag_id", "run_id", "reason", "result")}}
    body = json.dumps({**TEMPLATE, "correlationid": odd["correlation_id"], "data": data}).encode()

    async def outcome() -> int:
        async with Receiver(URL, str(KEY.public()), store="sqlite://") as receiver:
            first = await ring(receiver, body)
            again = await ring(receiver, body)
            assert (first.status, again.status) in {(202, 204), (400, 400)}
            return first.status

    asyncio.run(outcome())


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [100, 250, 500, 900, 990, 1_000, 2_000, 3_000])
def test_depth_is_survived(opening: str, depth: int) -> None:
    """What is too deep is refused; what is not can be read again, in the store's thread as well."""
    closing = "]" if opening == "[" else "}"
    body = spelt(opening * depth + "1" + closing * depth)
    assert len(body) <= MAX_EVENT_BYTES
    status = asyncio.run(answered_and_read_again(body))
    assert status in (202, 400)
    if depth <= 100:
        assert status == 202


@pytest.mark.parametrize(
    "number",
    [
        "1" * 4_300,
        "1" * 10_000,
        "-" + "9" * 10_000,
        "1e400",
        "-1e-400",
        "1E+99999999999",
        "0." + "3" * 10_000,
        "1.7976931348623157e308",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        "01",
    ],
    ids=lambda number: number[:20],
)
def test_numbers_are_survived(number: str) -> None:
    """However long, large, or no number at all."""
    assert asyncio.run(answered_and_read_again(spelt(number))) in (202, 400)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\udc00\ud800"', '"\ud800"', '"\\u0000"', '"\x00"', '"\\x"'])
def test_texts_that_are_none_are_survived(text: str) -> None:
    """Half a surrogate pair, a zero, an escape that JSON does not know."""
    assert asyncio.run(answered_and_read_again(spelt(text))) in (202, 400)
