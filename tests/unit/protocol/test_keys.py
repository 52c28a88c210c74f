"""Keys."""

from __future__ import annotations

import copy
import hmac
import json
import pickle
import pprint
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from ringback_protocol import (
    KeyFormatError,
    PrivateKey,
    PublicKey,
    Secret,
    parse_signing_keys,
    parse_verification_keys,
)
from ringback_protocol.keys import _SMALL_ORDER_Y

from .samples import OTHER_PRIVATE, OTHER_PUBLIC, PRIVATE, PUBLIC, SECRET, VECTORS, b64

HIDDEN = [SECRET, PRIVATE]


def _pieces(text: str) -> Iterator[str]:
    """Every eight characters in a row of what must stay hidden."""
    material = text.partition("_")[2] or text
    return (material[start : start + 8] for start in range(len(material) - 7))


def _everything_it_says(error: BaseException) -> str:
    """What a logger, a debugger or an error tracker can get out of an error without reading frames."""
    said = ["".join(traceback.format_exception(error))]
    current: BaseException | None = error
    while current is not None:
        said += [str(current), repr(current), repr(current.args), repr(vars(current))]
        said += [repr(getattr(current, name, None)) for name in ("object", "obj", "name", "__notes__")]
        current = current.__cause__ or current.__context__
    return "\n".join(said)


def test_a_new_secret_has_32_random_bytes() -> None:
    """``ringback keys new`` makes secrets of the recommended size, never the same twice."""
    one, other = Secret.generate(), Secret.generate()
    assert one.reveal().startswith("whsec_")
    assert len(one.reveal()) == len("whsec_") + 44
    assert one.reveal() != other.reveal()


def test_a_new_private_key_matches_its_public_half() -> None:
    """What a generated key signs, its public half verifies."""
    key = PrivateKey.generate()
    assert key.reveal() != PrivateKey.generate().reveal()
    assert key.public().verify(b"content", key.sign(b"content"))


@pytest.mark.parametrize("key", [SECRET, PRIVATE, Secret.generate(), PrivateKey.generate()])
def test_a_revealed_key_reads_back(key: Secret | PrivateKey) -> None:
    """The text that is handed to the owner is the key."""
    again = type(key)(key.reveal())
    assert again.reveal() == key.reveal()
    assert again.sign(b"content") == key.sign(b"content")


def test_the_published_key_pair_belongs_together() -> None:
    """The private key of the published vector has the published public half."""
    (vector,) = (vector for vector in VECTORS if vector["scheme"] == "v1a")
    assert str(PrivateKey(vector["private_key"]).public()) == vector["public_key"]


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_has_24_to_64_bytes(size: int) -> None:
    """Both ends of the allowed range are allowed."""
    text = "whsec_" + b64(b"k" * size)
    assert Secret(text).reveal() == text


@pytest.mark.parametrize(
    ("kind", "prefix", "size"),
    [
        (Secret, "whsec_", 0),
        (Secret, "whsec_", 23),
        (Secret, "whsec_", 65),
        (PrivateKey, "whsk_", 0),
        (PrivateKey, "whsk_", 32),
        (PrivateKey, "whsk_", 63),
        (PrivateKey, "whsk_", 65),
        (PublicKey, "whpk_", 0),
        (PublicKey, "whpk_", 31),
        (PublicKey, "whpk_", 33),
        (PublicKey, "whpk_", 64),
    ],
)
def test_a_key_of_another_size_is_refused(kind: Callable[[str], object], prefix: str, size: int) -> None:
    """A key that is too short, too long or of another kind is caught where it is loaded."""
    with pytest.raises(KeyFormatError, match=f"{prefix} key: {size} bytes"):
        kind(prefix + b64(b"k" * size))


def test_mismatched_halves_are_refused() -> None:
    """Signing with a foreign public half would give the private key away, so such a key is not loaded."""
    mismatched = PRIVATE.reveal()[: len("whsk_") + 42] + OTHER_PRIVATE.reveal()[len("whsk_") + 42 :]
    with pytest.raises(KeyFormatError, match="public half"):
        PrivateKey(mismatched)


def _misspellings(text: str) -> list[str]:
    prefix, material = text.partition("_")[0] + "_", text.partition("_")[2]
    return [
        material,
        prefix + material.rstrip("="),
        prefix + material + "=",
        prefix + material[:-2] + "\u00e9=",
        prefix + material.replace("A", "-"),
        prefix + material.replace("A", " ", 1),
        prefix + material + "\n",
        prefix + " " + material,
        prefix + prefix + material,
        prefix.upper() + material,
        prefix.replace("_", "-") + material,
        " " + text,
        prefix + material[16:],
        prefix + material + material,
        prefix + material[:-2] + chr(ord(material[-2]) + 1) + "=",
        prefix + material[:20] + "\ud800" + material[20:],
    ]


MISSPELT = [
    (kind, text)
    for kind, key in ((Secret, SECRET.reveal()), (PrivateKey, PRIVATE.reveal()))
    for text in _misspellings(key)
    if text != key
]


@pytest.mark.parametrize(("kind", "text"), MISSPELT, ids=range(len(MISSPELT)))
def test_a_misspelt_key_is_refused_without_showing_it(kind: Callable[[str], object], text: str) -> None:
    """A key that is pasted badly is not in the error, nor in anything chained to it."""
    readers: list[Callable[[Any], object]] = [kind, parse_signing_keys, parse_verification_keys]
    for read, given in [(readers[0], text)] + [(read, [text]) for read in readers[1:]]:
        with pytest.raises(KeyFormatError) as caught:
            read(given)
        said = _everything_it_says(caught.value)
        material = (SECRET if kind is Secret else PRIVATE).reveal()
        assert [piece for piece in _pieces(material) if piece in said] == []


@pytest.mark.parametrize(
    ("read", "given"),
    [
        pytest.param(parse_verification_keys, PRIVATE.reveal(), id="private key to a verifier"),
        pytest.param(parse_verification_keys, PRIVATE, id="private key object to a verifier"),
        pytest.param(parse_verification_keys, [PRIVATE], id="list of private key object to a verifier"),
        pytest.param(parse_verification_keys, PRIVATE.reveal().encode(), id="bytes to a verifier"),
        pytest.param(parse_verification_keys, [PRIVATE.reveal().encode()], id="list of bytes to a verifier"),
        pytest.param(parse_verification_keys, [[SECRET.reveal()]], id="nested list to a verifier"),
        pytest.param(parse_signing_keys, [[SECRET.reveal()]], id="nested list to a signer"),
        pytest.param(parse_signing_keys, [PRIVATE.reveal().encode()], id="list of bytes to a signer"),
        pytest.param(parse_signing_keys, PRIVATE.reveal().encode(), id="bytes to a signer"),
        pytest.param(parse_signing_keys, {"password": SECRET.reveal()}, id="mapping to a signer"),
        pytest.param(parse_signing_keys, SECRET.reveal() + "," + PRIVATE.reveal(), id="commas between keys"),
        pytest.param(parse_signing_keys, '"' + SECRET.reveal() + '"', id="quotes"),
        pytest.param(parse_signing_keys, "[" + json.dumps(PRIVATE.reveal()) + "]", id="JSON"),
        pytest.param(Secret, SECRET.reveal().encode(), id="bytes to Secret"),
        pytest.param(PrivateKey, SECRET.reveal(), id="secret to PrivateKey"),
        pytest.param(Secret, PRIVATE.reveal(), id="private key to Secret"),
        pytest.param(PublicKey, PRIVATE.reveal(), id="private key to PublicKey"),
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown(read: Callable[[Any], object], given: Any) -> None:
    """Of all mistakes that a caller can make with a key, none prints it."""
    with pytest.raises((KeyFormatError, TypeError)) as caught:
        read(given)
    said = _everything_it_says(caught.value)
    for key in HIDDEN:
        assert [piece for piece in _pieces(key.reveal()) if piece in said] == []


@pytest.mark.parametrize("key", HIDDEN)
@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        format,
        pprint.pformat,
        "{}".format,
        "%s %r".__mod__,
        lambda key: f"{key} {key!r} {key!s:>80}",
        lambda key: repr([key, {"key": key}, (key,)]),
        lambda key: repr(dir(key)),
    ],
)
def test_a_secret_half_never_shows(key: Secret | PrivateKey, show: Callable[[Any], str]) -> None:
    """Whatever turns a key into text shows its type and nothing more."""
    shown = show((key, key)) if getattr(show, "__name__", "") == "__mod__" else show(key)
    assert [piece for piece in _pieces(key.reveal()) if piece in shown] == []
    assert not hasattr(key, "__dict__")


def test_a_key_says_what_it_is() -> None:
    """A log line still tells a secret from a private and a public key."""
    assert repr(SECRET) == "Secret(…)"
    assert repr(PRIVATE) == "PrivateKey(…)"
    assert repr(PUBLIC) == f"PublicKey('{PUBLIC}')"


@pytest.mark.parametrize("key", HIDDEN)
@pytest.mark.parametrize(
    "save",
    [
        *(lambda key, protocol=protocol: pickle.dumps(key, protocol) for protocol in range(6)),
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
    ],
)
def test_a_secret_half_is_not_serialisable(key: Secret | PrivateKey, save: Callable[[Any], object]) -> None:
    """A key cannot end up in a cache, a queue or a database by accident, and the error does not show it."""
    with pytest.raises(TypeError) as caught:
        save(key)
    said = _everything_it_says(caught.value)
    assert [piece for piece in _pieces(key.reveal()) if piece in said] == []


def test_public_keys_are_values() -> None:
    """Two texts that are the same key compare and hash as one."""
    again = PublicKey(str(PUBLIC))
    assert again == PUBLIC
    assert len({again, PUBLIC, OTHER_PUBLIC}) == 2
    assert PUBLIC != OTHER_PUBLIC
    assert str(PUBLIC) != PUBLIC


@pytest.mark.parametrize(
    "given",
    [
        [PRIVATE.reveal(), SECRET.reveal()],
        f"{PRIVATE.reveal()} {SECRET.reveal()}",
        f"\n{PRIVATE.reveal()}\r\n\t{SECRET.reveal()}\n",
        (text for text in (PRIVATE.reveal(), SECRET.reveal())),
    ],
)
def test_signing_keys_keep_their_order(given: Any) -> None:
    """The newest key comes first, however the list is written."""
    first, second = parse_signing_keys(given)
    assert isinstance(first, PrivateKey)
    assert isinstance(second, Secret)


@pytest.mark.parametrize(
    "given",
    [
        [str(PUBLIC), SECRET.reveal()],
        [PUBLIC, SECRET],
        [PUBLIC, SECRET.reveal()],
        f"{PUBLIC}\n{SECRET.reveal()}",
        (key for key in (PUBLIC, SECRET)),
    ],
)
def test_verification_keys_come_as_texts_or_objects(given: Any) -> None:
    """A receiver may be given what it read from its settings or what it made itself."""
    first, second = parse_verification_keys(given)
    assert first == PUBLIC
    assert isinstance(second, Secret)


@pytest.mark.parametrize("given", [PUBLIC, str(PUBLIC), [PUBLIC]])
def test_one_verification_key_needs_no_list(given: Any) -> None:
    """The common case is one key."""
    assert parse_verification_keys(given) == (PUBLIC,)


def test_one_shared_secret_needs_no_list() -> None:
    """A shared secret is used as it is."""
    assert parse_verification_keys(SECRET) == (SECRET,)


@pytest.mark.parametrize("read", [parse_signing_keys, parse_verification_keys])
@pytest.mark.parametrize("given", ["", " \n", [], ()])
def test_no_key_is_an_error(read: Callable[[Any], object], given: Any) -> None:
    """An empty setting must not mean that anything goes."""
    with pytest.raises(KeyFormatError, match="no key given"):
        read(given)


@pytest.mark.parametrize(
    ("read", "given", "hint"),
    [
        (parse_signing_keys, [str(PUBLIC)], "whsk_ half"),
        (parse_signing_keys, [SECRET.reveal(), str(PUBLIC)], "whsk_ half"),
        (parse_verification_keys, [PRIVATE.reveal()], "whpk_ half"),
        (parse_verification_keys, PRIVATE.reveal(), "whpk_ half"),
        (parse_signing_keys, ["hunter2"], "starts with whsk_"),
        (parse_signing_keys, [None], "starts with whsk_"),
        (parse_verification_keys, ["hunter2"], "starts with whpk_"),
        (parse_verification_keys, [None], "starts with whpk_"),
        (Secret, str(PUBLIC), "start with whsec_"),
        (Secret, None, "start with whsec_"),
    ],
)
def test_the_wrong_half_is_refused_with_a_hint(read: Callable[[Any], object], given: Any, hint: str) -> None:
    """The prefix decides what a key is for, and the error says which key was meant."""
    with pytest.raises(KeyFormatError, match=hint):
        read(given)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 63, 65, 1000])
def test_a_signature_of_another_size_does_not_hold(size: int) -> None:
    """A signature that is too short or too long is wrong, not an exception."""
    assert not PUBLIC.verify(b"content", b"s" * size)
    assert not SECRET.verify(b"content", b"s" * size)


def test_a_public_key_off_the_curve_verifies_nothing() -> None:
    """32 bytes that are no point are harmless."""
    assert not PublicKey("whpk_" + b64(b"\xff" * 32)).verify(b"content", PRIVATE.sign(b"content"))


def test_an_ed25519_signature_cannot_be_respelt() -> None:
    """Adding the group's order to the scalar of a signature breaks it (RFC 8032, section 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = PRIVATE.sign(b"content")
    scalar = int.from_bytes(signature[32:], "little") + order
    respelt = signature[:32] + scalar.to_bytes(32, "little")
    assert PUBLIC.verify(b"content", signature)
    assert not PUBLIC.verify(b"content", respelt)


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", sorted(_SMALL_ORDER_Y))
def test_points_of_small_order_are_no_public_keys(y: int, sign_bit: int) -> None:
    """A key under which anybody can sign, such as one of zeros, is refused in every spelling."""
    raw = (y | sign_bit << 255).to_bytes(32, "little")
    with pytest.raises(KeyFormatError, match="small order"):
        PublicKey("whpk_" + b64(raw))


@pytest.mark.parametrize("size", range(24, 65))
def test_a_mac_is_that_of_the_standard_library(size: int) -> None:
    """HMAC-SHA256 as RFC 2104 has it, for every length a secret may have."""
    raw = bytes(range(size))
    secret = Secret("whsec_" + b64(raw))
    for content in (b"", b"x" * 63, b"y" * 64, b"z" * 5_000):
        assert secret.sign(content) == hmac.digest(raw, content, "sha256")
    assert secret.sign(b"") == hmac.digest(raw, b"", "sha256")  # nothing is left over from the call before
