"""Verifying: what is believed, and what is refused for which reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPMessage
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock
from wsgiref.headers import Headers as WsgiHeaders

import pytest

from ringback_protocol import (
    DEFAULT_TOLERANCE,
    MAX_EVENT_BYTES,
    Refusal,
    VerificationError,
    VerificationKey,
    encode_event,
    parse_verification_keys,
    verify_event,
    verify_signature,
)

from .samples import (
    ID,
    NOW,
    OTHER_PRIVATE,
    OTHER_PUBLIC,
    OTHER_SECRET,
    PRIVATE,
    PUBLIC,
    SECRET,
    URL,
    VECTORS,
    as_bytes,
    as_json,
    b64,
    make_data,
    make_event,
    signed,
)

BOTH: tuple[VerificationKey, ...] = (PUBLIC, SECRET)


def verify(headers: Any, body: Any, **changes: Any) -> Any:
    return verify_event(headers, body, **{"keys": BOTH, "audiences": [URL], "now": NOW, **changes})


def refused(refusal: Refusal, headers: Any, body: Any, **changes: Any) -> None:
    """Assert a refusal, and that its error holds nothing of what came in."""
    with pytest.raises(VerificationError) as caught:
        verify(headers, body, **changes)
    error = caught.value
    assert error.refusal is refusal
    assert error.status in {400, 401, 403, 413}
    assert (error.reason, str(error), error.args) == (refusal.value, refusal.value, (refusal.value,))
    assert vars(error) == {"refusal": refusal, "reason": refusal.value, "status": error.status}
    assert error.__cause__ is None
    # A missing header is found missing by its own constant name; nothing else may hang on.
    assert error.__context__ is None or isinstance(error.__context__, KeyError)


def with_header(name: str, value: Any) -> tuple[dict[str, Any], bytes]:
    headers, body = signed()
    return {**headers, name: value}, body


# -- what is believed


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["scheme"] for vector in VECTORS])
def test_the_published_vectors_hold(vector: dict[str, str]) -> None:
    """We accept what the reference implementations signed."""
    keys = parse_verification_keys(vector.get("public_key") or vector["key"])
    now = int(vector["webhook-timestamp"])
    assert verify_signature(vector, vector["body"].encode(), keys=keys, now=now) == vector["webhook-id"]


@pytest.mark.parametrize("keys", [(PRIVATE,), (SECRET,), (PRIVATE, SECRET), (OTHER_PRIVATE, SECRET)])
def test_a_signed_event_is_believed(keys: Any) -> None:
    """A fresh event that a trusted key signed for this address comes back as a value."""
    assert verify(*signed(keys=keys)) == make_event()


@pytest.mark.parametrize("keys", [[PUBLIC], [OTHER_PUBLIC, PUBLIC], [PUBLIC, OTHER_PUBLIC], [SECRET, PUBLIC]])
def test_any_one_of_several_keys_may_have_signed(keys: Any) -> None:
    """A receiver trusts the old key and the new one while they are rotated."""
    assert verify(*signed(), keys=keys) == make_event()


@pytest.mark.parametrize("audiences", [[URL], ["https://other.example/", URL], {URL}, (url for url in [URL])])
def test_any_one_of_several_audiences_may_be_meant(audiences: Any) -> None:
    """A receiver may answer to several addresses."""
    assert verify(*signed(), audiences=audiences) == make_event()


def _message(headers: dict[str, str]) -> HTTPMessage:
    message = HTTPMessage()
    for name, value in headers.items():
        message[name] = value
    return message


HEADER_SHAPES: list[Callable[[dict[str, str]], Any]] = [
    dict,
    MappingProxyType,
    lambda h: {name.upper(): value for name, value in h.items()},
    lambda h: {name.title(): value for name, value in h.items()},
    lambda h: {name.encode(): value.encode() for name, value in h.items()},
    lambda h: {name.encode(): bytearray(value.encode()) for name, value in h.items()},
    lambda h: list(h.items()),
    lambda h: [list(pair) for pair in h.items()],
    lambda h: [(b"host", b"x"), *((name.encode(), value.encode()) for name, value in h.items()), (b"x-id-xxxxx", b"")],
    lambda h: [*((name.title().encode(), value.encode()) for name, value in h.items()), (b"\xff", b"\xff")],
    lambda h: [(name.title().encode(), value) for name, value in h.items()],
    lambda h: (pair for pair in h.items()),
    lambda h: tuple(reversed(h.items())),
    lambda h: {**h, "Content-Type": "application/json", "x-caf\u00e9": "caf\u00e9", b"\xff": b"\xff", 5: None},
    lambda h: [*h.items(), ("x", "1"), ("x", "2"), (None, None), (object(), object())],
    lambda h: {**h, **{f"x-{n}": "x" * 100 for n in range(5_000)}},
    _message,
    lambda h: WsgiHeaders(list(h.items())),
]


@pytest.mark.parametrize("shape", HEADER_SHAPES)
def test_headers_come_in_many_shapes(shape: Callable[[dict[str, str]], Any]) -> None:
    """Any mapping or list of pairs, in text or bytes and in any case, will do."""
    headers, body = signed()
    assert verify(shape(headers), body) == make_event()


@pytest.mark.parametrize("shape", [bytes, bytearray, memoryview, lambda body: memoryview(body + body)[: len(body)]])
def test_a_body_is_any_bytes(shape: Callable[[bytes], Any]) -> None:
    """Whatever buffer a framework hands over is read as its bytes."""
    headers, body = signed()
    assert verify(headers, shape(body)) == make_event()


# -- several signatures


@pytest.mark.parametrize(
    "signatures",
    [
        "{good}",
        "v1a,bm90IGEgc2lnbmF0dXJl {good}",
        "{good} v1a,bm90IGEgc2lnbmF0dXJl",
        "v2,AAAA {good}",
        "v1aa,AAAA v,AAAA ,AAAA , v1a v1a, {good}",
        "v1a,!!! {good}",
        "v1a,\t {good}",
        "  {good} ",
        "{good} {good}",
        " ".join(["v9,AAAA"] * 7) + " {good}",
    ],
)
def test_one_good_signature_among_others_is_enough(signatures: str) -> None:
    """Tokens of unknown schemes and other keys are passed over, wherever they stand."""
    headers, body = signed()
    headers["webhook-signature"] = signatures.format(good=headers["webhook-signature"])
    assert verify(headers, body) == make_event()


@pytest.mark.parametrize(
    "signatures",
    [
        "",
        " ",
        ",",
        "v1a",
        "v1a,",
        "{encoded}",
        ",{encoded}",
        "v1a {encoded}",
        "v1a,,{encoded}",
        "v1a, {encoded}",
        "V1A,{encoded}",
        "v1,{encoded}",
        "v1aa,{encoded}",
        "v1a,{encoded},",
        "v1a,{encoded},v1a,{encoded}",
        "v1a,{encoded}\tv1a,AAAA",
        "\tv1a,{encoded}",
        "v1a,{encoded};",
        "v1a={encoded}",
        'v1a,"{encoded}"',
    ],
)
def test_a_misspelt_signature_does_not_hold(signatures: str) -> None:
    """The scheme, one comma, canonical base64, parted by single spaces: nothing else is a signature."""
    headers, body = signed()
    encoded = headers["webhook-signature"].removeprefix("v1a,")
    headers["webhook-signature"] = signatures.format(encoded=encoded)
    refused(Refusal.BAD_SIGNATURE, headers, body)


def test_the_work_that_signatures_cause_is_bounded() -> None:
    """A sender cannot make a receiver check signatures without end."""
    headers, body = signed()
    good = headers["webhook-signature"]
    headers["webhook-signature"] = "v9,AAAA " * 8 + good
    refused(Refusal.BAD_SIGNATURE, headers, body)
    headers["webhook-signature"] = good + " " * (2_048 - len(good))
    assert verify(headers, body) == make_event()
    headers["webhook-signature"] += " "
    refused(Refusal.MALFORMED_HEADER, headers, body)


def _respellings(encoded: str) -> list[str]:
    last = encoded.rstrip("=")[-1]
    padding = encoded[len(encoded.rstrip("=")) :]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = alphabet[alphabet.index(last) + 1]
    return [
        encoded.rstrip("="),
        encoded + "=",
        encoded + "A",
        encoded.rstrip("=")[:-1] + stray + padding,
        encoded.replace("+", "-").replace("/", "_"),
        encoded[:8] + "\n" + encoded[8:],
        encoded[:8] + "\t" + encoded[8:],
        encoded[:8] + " " + encoded[8:],
        encoded[:8] + "=" + encoded[8:],
        encoded[:8] + "%2B" + encoded[8:],
        encoded[:8] + "." + encoded[8:],
        encoded + "\n",
        encoded + "\r",
        "\v" + encoded,
        encoded.swapcase(),
        base64.b64decode(encoded).hex(),
    ]


@pytest.mark.parametrize("key", [PRIVATE, SECRET])
@pytest.mark.parametrize("which", range(16))
def test_a_signature_has_one_spelling(key: Any, which: int) -> None:
    """Unpadded, URL-safe, spaced or sloppy base64 is refused, so that one signature is one text."""
    for timestamp in range(NOW, NOW + 200):  # one whose signature has what the URL-safe alphabet lacks
        headers, body = signed(keys=(key,), timestamp=timestamp)
        if {"+", "/"} <= set(headers["webhook-signature"]):
            break
    scheme, _, encoded = headers["webhook-signature"].partition(",")
    respelt = _respellings(encoded)[which]
    assert respelt != encoded
    assert verify(headers, body) == make_event()
    refused(Refusal.BAD_SIGNATURE, {**headers, "webhook-signature": f"{scheme},{respelt}"}, body)


# -- algorithm confusion


def test_a_public_key_is_never_a_shared_secret() -> None:
    """A MAC made with the public key's bytes, which everybody knows, holds under no label."""
    body = encode_event(make_event())
    content = f"{ID}.{NOW}.".encode() + body
    raw = base64.b64decode(str(PUBLIC).removeprefix("whpk_"))
    for secret in (raw, str(PUBLIC).encode(), b64(raw).encode(), b""):
        mac = b64(hmac.digest(secret, content, hashlib.sha256))
        for scheme in ("v1", "v1a", "whpk_", ""):
            headers = {"webhook-id": ID, "webhook-timestamp": str(NOW), "webhook-signature": f"{scheme},{mac}"}
            refused(Refusal.BAD_SIGNATURE, headers, body, keys=[PUBLIC])


@pytest.mark.parametrize(("signer", "verifier"), [(SECRET, PUBLIC), (PRIVATE, SECRET)])
def test_the_key_decides_the_algorithm(signer: Any, verifier: Any) -> None:
    """A signature of one scheme is nothing to a key of the other, however it is labelled."""
    headers, body = signed(keys=(signer,))
    refused(Refusal.BAD_SIGNATURE, headers, body, keys=[verifier])
    encoded = headers["webhook-signature"].partition(",")[2]
    headers["webhook-signature"] = f"{verifier.scheme},{encoded}"
    refused(Refusal.BAD_SIGNATURE, headers, body, keys=[verifier])


@pytest.mark.parametrize("keys", [[], (), [OTHER_PUBLIC], [OTHER_SECRET], [OTHER_PUBLIC, OTHER_SECRET]])
def test_a_key_that_is_not_trusted_does_not_count(keys: Any) -> None:
    """Only the keys of this receiver are tried, and none means that nothing is believed."""
    refused(Refusal.BAD_SIGNATURE, *signed(keys=(PRIVATE, SECRET)), keys=keys)


# -- freshness


@pytest.mark.parametrize("tolerance", [DEFAULT_TOLERANCE, timedelta(seconds=10), timedelta(0)])
def test_the_tolerance_ends_exactly(tolerance: timedelta) -> None:
    """An attempt is fresh up to the tolerance in either direction, and not a microsecond longer."""
    headers, body = signed()
    edge = tolerance.total_seconds()
    assert verify(headers, body, now=NOW + edge, tolerance=tolerance) == make_event()
    assert verify(headers, body, now=NOW - edge, tolerance=tolerance) == make_event()
    refused(Refusal.TIMESTAMP_TOO_OLD, headers, body, now=NOW + edge + 1e-6, tolerance=tolerance)
    refused(Refusal.TIMESTAMP_TOO_NEW, headers, body, now=NOW - edge - 1e-6, tolerance=tolerance)


def test_the_default_tolerance_is_five_minutes() -> None:
    """The default is what Standard Webhooks recommends."""
    headers, body = signed()
    assert timedelta(minutes=5) == DEFAULT_TOLERANCE
    assert verify(headers, body, now=NOW + 300) == make_event()
    refused(Refusal.TIMESTAMP_TOO_OLD, headers, body, now=NOW + 301)
    refused(Refusal.TIMESTAMP_TOO_NEW, headers, body, now=NOW - 301)


@pytest.mark.parametrize(
    ("now", "refusal"),
    [
        (math.nan, Refusal.TIMESTAMP_TOO_OLD),
        (math.inf, Refusal.TIMESTAMP_TOO_OLD),
        (-math.inf, Refusal.TIMESTAMP_TOO_NEW),
        (0, Refusal.TIMESTAMP_TOO_NEW),
        (10**30, Refusal.TIMESTAMP_TOO_OLD),
    ],
)
@pytest.mark.parametrize("tolerance", [DEFAULT_TOLERANCE, timedelta(seconds=-1)])
def test_a_clock_gone_mad_believes_nothing(now: float, refusal: Refusal, tolerance: timedelta) -> None:
    """A clock that is no number, or far off, refuses."""
    refused(refusal, *signed(), now=now, tolerance=tolerance)


def test_a_negative_tolerance_believes_nothing() -> None:
    """A mistake in the settings fails closed."""
    refused(Refusal.TIMESTAMP_TOO_OLD, *signed(), tolerance=timedelta(seconds=-1))


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "+1",
        "-1",
        "01",
        "00",
        " 1",
        "1 ",
        "1\n",
        "1_0",
        "1.0",
        "1e9",
        "0x1",
        "\uff11",
        "\u0661",
        "\u00b2",
        "NaN",
        "inf",
        "1,1",
        "9" * 13,
        "9" * 100_000,
        "1" * 5_000,
        NOW,
        float(NOW),
        None,
        True,
        [str(NOW)],
    ],
    ids=lambda timestamp: ascii(timestamp)[:20],
)
def test_a_timestamp_has_one_spelling(timestamp: Any) -> None:
    """Plain decimal seconds without sign, zero or space in front: nothing else is a timestamp."""
    refused(Refusal.MALFORMED_HEADER, *with_header("webhook-timestamp", timestamp))


@pytest.mark.parametrize("rewrite", ["+{}", "0{}", " {}", "{} ", "{}.0", "{}_0", "{}\n"])
def test_even_a_signed_timestamp_has_one_spelling(rewrite: str) -> None:
    """A peculiar spelling is refused although it was signed just so."""
    body = encode_event(make_event())
    stamp = rewrite.format(NOW)
    mac = b64(SECRET.sign(f"{ID}.{stamp}.".encode() + body))
    headers = {"webhook-id": ID, "webhook-timestamp": stamp, "webhook-signature": f"v1,{mac}"}
    refused(Refusal.MALFORMED_HEADER, headers, body)


@pytest.mark.parametrize("timestamp", [0, 999_999_999_999])
def test_the_first_and_the_last_timestamp_are_read(timestamp: int) -> None:
    """Zero and the largest number of twelve digits are timestamps too."""
    headers, body = signed(timestamp=timestamp)
    assert verify(headers, body, now=timestamp) == make_event()
    refused(Refusal.TIMESTAMP_TOO_OLD if timestamp == 0 else Refusal.TIMESTAMP_TOO_NEW, headers, body)


# -- headers


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_of_the_three_headers_is_needed_once(name: str) -> None:
    """Without one there is nothing to verify, and with two nobody knows which was meant."""
    headers, body = signed()
    missing = {key: value for key, value in headers.items() if key != name}
    refused(Refusal.MISSING_HEADER, missing, body)
    value = headers[name]
    twice: list[Any] = [
        [*headers.items(), (name, value)],
        [(name, "other"), *headers.items()],
        [*headers.items(), (name.upper().encode(), value.encode())],
        {**headers, name.title(): value},
        {**headers, name.encode(): None},
    ]
    for repeated in twice:
        refused(Refusal.DUPLICATE_HEADER, repeated, body)


def test_duplicates_that_a_framework_keeps_apart_are_refused() -> None:
    """The standard library's own header classes show both."""
    headers, body = signed()
    message = _message(headers)
    message["Webhook-Id"] = ID
    refused(Refusal.DUPLICATE_HEADER, message, body)
    refused(Refusal.DUPLICATE_HEADER, WsgiHeaders([*headers.items(), ("Webhook-Id", ID)]), body)


@pytest.mark.parametrize(
    "prefixed",
    ["svix-{}", "x-{}", "{} ", " {}", "{}\n", "{}:", "{}\x00", "w\u0435bhook-{}", "{}\u0130"],
)
def test_only_the_three_names_count(prefixed: str) -> None:
    """A name that resembles one of the three is another name."""
    headers, body = signed()
    other = {prefixed.format(name): value for name, value in headers.items()}
    refused(Refusal.MISSING_HEADER, other, body)


@pytest.mark.parametrize(
    "id", ["", " ", ID + " ", " " + ID, ID + "\n", "a.b", "a,b", "caf\u00e9", "a" * 129, "a" * 1_000_000, "\ud800"]
)
def test_an_id_without_its_form_is_refused(id: str) -> None:
    """Up to 128 letters, digits, dashes and underscores; above all no dot."""
    refused(Refusal.MALFORMED_HEADER, *with_header("webhook-id", id))
    refused(Refusal.MALFORMED_HEADER, *with_header("webhook-id", id.encode("utf-8", "surrogatepass") + b"\xff"))


def test_the_parts_of_the_signed_content_cannot_be_shifted() -> None:
    """A dot moved from the id to the timestamp or the body makes another request."""
    body = encode_event(make_event())
    mac = b64(SECRET.sign(f"{ID}.{NOW}.1.".encode() + body))
    for id, timestamp, rest in [(f"{ID}.{NOW}", "1", b""), (ID, f"{NOW}.1", b"")]:
        headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{mac}"}
        refused(Refusal.MALFORMED_HEADER, headers, rest + body)


class _LyingText(str):
    """Looks like its text to a comparison, and like something else to whoever asks politely."""

    __slots__ = ()

    def isascii(self) -> bool:
        return True

    def lower(self) -> str:
        return "webhook-id"

    def encode(self, *_: Any) -> bytes:
        return b"forged"

    def split(self, *_: Any) -> list[str]:  # type: ignore[override]
        return []

    def __int__(self) -> int:
        return NOW

    def __str__(self) -> str:
        raise RuntimeError

    def __len__(self) -> int:
        return 1

    def __hash__(self) -> int:
        return 1

    def __eq__(self, _: object) -> bool:
        return True


class _LyingBytes(bytes):
    def decode(self, *_: Any) -> str:
        return ID

    def __bytes__(self) -> bytes:
        return b"forged"

    def __len__(self) -> int:
        return 1


def test_a_subclass_is_the_text_that_it_holds() -> None:
    """A header of a peculiar class is judged by its plain content, so it can lie neither way."""
    headers, body = signed()
    peculiar = [(_LyingText(name), _LyingText(value)) for name, value in headers.items()]
    assert verify(peculiar, body) == make_event()
    assert verify(headers, _LyingBytes(body)) == make_event()
    assert verify([(_LyingBytes(n.encode()), _LyingBytes(v.encode())) for n, v in headers.items()], body)
    refused(Refusal.MALFORMED_HEADER, {**headers, "webhook-id": _LyingText("caf\u00e9")}, body)
    refused(Refusal.MALFORMED_HEADER, {**headers, "webhook-timestamp": _LyingText("x")}, body)
    refused(Refusal.BAD_SIGNATURE, headers, _LyingBytes(body + b" "))
    refused(Refusal.TOO_LARGE, headers, _LyingBytes(b" " * (MAX_EVENT_BYTES + 1)))


class _Broken:
    """Raises at whatever is done with it."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    @property
    def items(self) -> Any:
        raise self._error

    def __iter__(self) -> Any:
        raise self._error


class _BrokenValue:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("secret")

    @__class__.setter
    def __class__(self, _: Any) -> None: ...


@pytest.mark.parametrize(
    "headers",
    [
        None,
        5,
        "webhook-id",
        b"webhook-id",
        object(),
        [None],
        ["webhook-id"],
        [("webhook-id",)],
        [("webhook-id", "a", "b")],
        {"webhook-id", "webhook-timestamp"},
        [5],
        Mock(items=5),
        Mock(items=lambda: None),
        type("Odd", (), {"items": 5})(),
        _Broken(RuntimeError("secret")),
        _Broken(KeyError("secret")),
        _Broken(RecursionError()),
        _Broken(MemoryError()),
        [(_BrokenValue(), "a")],
        [("webhook-id", _BrokenValue())],
        [(Mock(spec=str), "a")],
        [("webhook-id", Mock(spec=str))],
        [("webhook-id", Mock(spec=bytes))],
        (pair for pair in [_Broken(OSError("secret"))]),
    ],
    ids=lambda headers: type(headers).__name__,
)
def test_what_is_no_headers_is_refused(headers: Any) -> None:
    """Whatever stands in the place of headers, the answer is a refusal."""
    refused(Refusal.MALFORMED_HEADER, headers, encode_event(make_event()))


@pytest.mark.parametrize("headers", [{}, [], (), iter(()), {5: 5}, {None: None}, {"": ""}, ""])
def test_no_headers_are_missing_headers(headers: Any) -> None:
    """An ordinary request that is no webhook lacks the headers."""
    refused(Refusal.MISSING_HEADER, headers, b"")


@pytest.mark.parametrize("value", [None, 5, 1.5, True, [], ["a"], {}, object(), "caf\u00e9", b"\xff", memoryview(b"a")])
@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_no_ascii_text_is_refused(name: str, value: Any) -> None:
    """The three headers are ASCII by their nature."""
    refused(Refusal.MALFORMED_HEADER, *with_header(name, value))


# -- bodies


@pytest.mark.parametrize("body", [None, "text", 5, [1, 2], {}, object(), pytest.param(Mock(spec=bytes), id="mock")])
def test_a_body_that_is_not_bytes_is_refused(body: Any) -> None:
    """A body that a framework already decoded can no longer be verified."""
    refused(Refusal.MALFORMED_EVENT, signed()[0], body)


def test_a_buffer_that_is_gone_is_refused() -> None:
    """A released buffer has no bytes any more."""
    headers, body = signed()
    view = memoryview(body)
    view.release()
    refused(Refusal.MALFORMED_EVENT, headers, view)


def test_the_cap_counts_bytes() -> None:
    """A body of exactly the cap is read; one byte more is too large, before anything else is looked at."""
    padded = encode_event(make_event()).ljust(MAX_EVENT_BYTES)
    assert verify(*signed(padded)) == make_event()
    for body in (padded + b" ", bytearray(padded + b" "), memoryview(padded + b" " * 8).cast("Q")):
        refused(Refusal.TOO_LARGE, {}, body)


def test_a_body_is_parsed_only_if_it_is_signed() -> None:
    """Bytes of a stranger never reach the decoder."""
    headers, _ = signed()
    for body in (b"", b"\xff", b"[" * 10_000, as_bytes({"dataschema": "urn:ringback:completion:2"})):
        refused(Refusal.BAD_SIGNATURE, headers, body)


DEEP = 5_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + as_bytes(as_json()),
        as_bytes(as_json()).decode().encode("utf-16"),
        as_bytes(as_json()) + b"\x00",
        as_bytes(as_json()) * 2,
        as_bytes(as_json())[:-1],
        as_bytes(as_json()).replace(b"sales", b"\xc3\x28"),
        as_bytes(as_json()).replace(b"sales", b"\xed\xa0\x80"),
        as_bytes(as_json()).replace(b"sales", b"\\ud800"),
        as_bytes(as_json()).replace(b"4213", b"[" * DEEP + b"]" * DEEP),
        as_bytes(as_json()).replace(b"4213", b'{"a":' * 3_000 + b"1" + b"}" * 3_000),
        as_bytes({"x": 1}).replace(b"1", b"[" * DEEP + b"]" * DEEP),
        b"[" * 20_000,
        as_bytes(as_json()).replace(b"4213", b"9" * DEEP),
        as_bytes(as_json()).replace(b"4213", b"1e999"),
        as_bytes(as_json()).replace(b"4213", b"-Infinity"),
        as_bytes(as_json()).replace(b"12.4", b"NaN"),
        as_bytes(as_json()).replace(b".204", b".204x"),
    ],
    ids=lambda body: ascii(body)[:30],
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    """A trusted sender gone wrong cannot bring a receiver down either."""
    refused(Refusal.MALFORMED_EVENT, *signed(body))


def test_a_huge_number_that_fits_is_kept() -> None:
    """An integer of 300 digits is odd but harmless."""
    body = as_bytes(as_json()).replace(b"4213", b"9" * 300)
    assert verify(*signed(body)).data.result == {"rows": 10**300 - 1}


def test_of_a_repeated_member_the_last_is_judged_and_returned() -> None:
    """Two audiences in one body cannot pass with one and act as the other."""
    other = b'"audience":"https://other.example/",'
    body = encode_event(make_event())
    refused(Refusal.WRONG_AUDIENCE, *signed(body[:-1] + b',"audience":"https://other.example/"}'))
    assert verify(*signed(b"{" + other + body[1:])).audience == URL


def _changed(**changes: Any) -> bytes:
    return as_bytes({**as_json(), **changes})


@pytest.mark.parametrize("version", ["urn:ringback:completion:2", "urn:ringback:completion:", "", "https://x.example"])
def test_another_version_is_named_as_such(version: str) -> None:
    """The receiver of a later event knows that it must be upgraded, not that somebody attacks."""
    refused(Refusal.UNKNOWN_VERSION, *signed(_changed(dataschema=version)))
    refused(Refusal.UNKNOWN_VERSION, *signed(as_bytes({"dataschema": version})))


@pytest.mark.parametrize("version", [None, 1, ["urn:ringback:completion:1"], {}])
def test_a_version_that_is_no_text_is_malformed(version: Any) -> None:
    """What does not even name a version is no event."""
    refused(Refusal.MALFORMED_EVENT, *signed(_changed(dataschema=version)))


@pytest.mark.parametrize("state", ["running", "success", "failed"])
@pytest.mark.parametrize("type_", ["started", "succeeded", "failed"])
def test_type_and_state_say_the_same(state: str, type_: str) -> None:
    """An event that says it succeeded and failed at once is refused."""
    event = make_event(make_data(state=state))
    body = as_bytes({**as_json(event), "type": f"airflow.dag_run.{type_}"})
    if event.type == f"airflow.dag_run.{type_}":
        assert verify(*signed(body)) == event
    else:
        refused(Refusal.MALFORMED_EVENT, *signed(body))


@pytest.mark.parametrize("id", ["msg_other", ID.upper(), ID + "a", ID[:-1]])
def test_the_id_of_the_header_is_that_of_the_body(id: str) -> None:
    """Deduplication by either id means the same event."""
    refused(Refusal.ID_MISMATCH, *signed(id=id))
    refused(Refusal.ID_MISMATCH, *signed(_changed(id=id)))


def test_an_id_with_a_line_break_is_refused() -> None:
    """A pattern that ends in ``$`` lets one line break pass; the comparison with the header does not."""
    refused(Refusal.ID_MISMATCH, *signed(_changed(id=ID + "\n")))


@pytest.mark.parametrize(
    "audience",
    [
        "https://other.example/airflow/completions",
        URL + "/",
        URL + "?",
        URL.upper(),
        URL.replace("https", "http"),
        URL.replace(".example", ".example:443"),
        URL.replace("airflow", "%61irflow"),
        " " + URL,
        "",
    ],
)
def test_an_event_for_another_address_is_refused(audience: str) -> None:
    """The audience is compared byte for byte: what an attacker had sent to himself is worthless here."""
    refused(Refusal.WRONG_AUDIENCE, *signed(_changed(audience=audience)))


@pytest.mark.parametrize("audiences", [[], URL, [URL + "/"]])
def test_without_the_right_audience_nothing_is_believed(audiences: Any) -> None:
    """No audience, or one text by mistake for a list of them, fails closed."""
    refused(Refusal.WRONG_AUDIENCE, *signed(), audiences=audiences)
