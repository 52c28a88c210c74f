"""Reading a destination from its Airflow connection."""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import h11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from notifier_samples import PRIVATE, SECRET, URL, destination

from ringback_notifier._allow import parse_pattern
from ringback_notifier._destination import connection_id, parse_destination
from ringback_notifier.errors import DestinationError, NotAllowedError
from ringback_protocol import PrivateKey, Secret

WHERE = "connection ringback_portal: "


def test_a_destination_is_a_connection_with_a_prefix() -> None:
    """The name in conf picks the connection, and can pick no other kind of connection."""
    assert connection_id("portal") == "ringback_portal"


def test_a_minimal_connection_has_keys_and_allows_nothing() -> None:
    """No pattern, no delivery."""
    read = parse_destination("portal", conn_type="ringback", password=SECRET.reveal(), extra=None)
    assert (read.name, len(read.keys), read.allow, dict(read.headers)) == ("portal", 1, (), {})
    assert (read.ca_bundle, read.client_cert, read.client_key) == (None, None, None)
    assert read.content_type == "application/json"
    with pytest.raises(NotAllowedError):
        read.check_allowed(URL)


def test_every_field_is_read() -> None:
    """What the documentation lists is what a destination holds."""
    read = destination(
        {
            "allow": ["https://portal.example/", "https://*.example.com:8443/x"],
            "headers": {"Authorization": "Bearer x", "X-Tenant": "7"},
            "ca_bundle": "/etc/ca.pem",
            "client_cert": "/etc/client.pem",
            "client_key": "/etc/client.key",
            "content_type": "application/cloudevents+json",
        }
    )
    assert read.allow == (parse_pattern("https://portal.example/"), parse_pattern("https://*.example.com:8443/x"))
    assert dict(read.headers) == {"authorization": "Bearer x", "x-tenant": "7"}
    assert (read.ca_bundle, read.client_cert, read.client_key) == ("/etc/ca.pem", "/etc/client.pem", "/etc/client.key")
    assert read.content_type == "application/cloudevents+json"


@pytest.mark.parametrize("space", [" ", "\n", "\r\n", "\t", "  \n "])
def test_several_keys_are_separated_by_white_space_newest_first(space: str) -> None:
    """Rotation is a second key in the same field, however the form was filled in."""
    read = destination(password=f"{space}{PRIVATE.reveal()}{space}{SECRET.reveal()}{space}")
    assert [type(key) for key in read.keys] == [PrivateKey, Secret]


def test_one_pattern_may_stand_alone() -> None:
    """A single allowed URL needs no list."""
    assert destination({"allow": "https://portal.example/"}).allow == (parse_pattern("https://portal.example/"),)


@pytest.mark.parametrize("extra", ["", "{}", '{"ca_bundle": null, "client_cert": "", "client_key": ""}'])
def test_what_the_connection_form_leaves_empty_counts_as_absent(extra: str) -> None:
    """Airflow's form saves empty fields as null or as an empty text."""
    read = destination(extra)
    assert (read.ca_bundle, read.client_cert, read.client_key) == (None, None, None)


ALLOW_PROBLEM = "extra: allow must be a list of URL patterns"
PEM_PROBLEM = "must be the path of a PEM file"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("conn_type", None, "its type is None, but it must be 'ringback'"),
        ("conn_type", "http", "its type is 'http', but it must be 'ringback'"),
        ("password", None, "password: no key given: make one with `ringback keys new`"),
        ("password", "", "password: no key given: make one with `ringback keys new`"),
        ("password", " \n", "password: no key given: make one with `ringback keys new`"),
        ("password", "hush", "password: a signing key starts with whsk_ (Ed25519) or whsec_ (HMAC)"),
        pytest.param(
            "password",
            str(PRIVATE.public()),
            "password: a whpk_ key can only verify: signing needs its whsk_ half",
            id="public key",
        ),
        pytest.param("password", PRIVATE.reveal()[:-4], "password: whsk_ key: ", id="cut key"),
        ("password", "whsec_c2hvcnQ=", "password: whsec_ key: 5 bytes, but it must have 24 to 64"),
        pytest.param("password", SECRET.reveal() + " hush", "password: a signing key starts with", id="key and more"),
        ("extra", "{", "extra is not JSON"),
        ("extra", "allow: x", "extra is not JSON"),
        ("extra", "[]", "extra must be a JSON object such as"),
        ("extra", '"x"', "extra must be a JSON object such as"),
        ("extra", "7", "extra must be a JSON object such as"),
        ("extra", "null", "extra must be a JSON object such as"),
        ("extra", {"allowed": []}, "extra: unknown member 'allowed'; known are allow, allow_networks, allow_hosts,"),
        ("extra", {"Allow": []}, "extra: unknown member 'Allow'; known are "),
        ("extra", {"allow": None}, ALLOW_PROBLEM),
        ("extra", {"allow": {}}, ALLOW_PROBLEM),
        ("extra", {"allow": 1}, ALLOW_PROBLEM),
        ("extra", {"allow": [1]}, "extra: allow: a pattern must be a text such as https://portal.example/, not 1"),
        ("extra", {"allow": ["portal.example"]}, "extra: allow: 'portal.example' is no pattern: it must start with"),
        ("extra", {"headers": None}, "extra: headers must be an object of names and texts"),
        ("extra", {"headers": []}, "extra: headers must be an object of names and texts"),
        ("extra", {"headers": "a: b"}, "extra: headers must be an object of names and texts"),
        ("extra", {"content_type": "text/plain"}, "extra: content_type must be one of application/json, application/"),
        ("extra", {"content_type": None}, "extra: content_type must be one of "),
        ("extra", {"content_type": ["application/json"]}, "extra: content_type must be one of "),
        ("extra", {"ca_bundle": True}, f"extra: ca_bundle {PEM_PROBLEM}"),
        ("extra", {"client_cert": ["a", "b"]}, f"extra: client_cert {PEM_PROBLEM}"),
        ("extra", {"client_key": 7}, f"extra: client_key {PEM_PROBLEM}"),
    ],
)
def test_an_error_names_the_connection_the_field_and_the_mend(field: str, value: Any, problem: str) -> None:
    """Whoever reads the task's log knows which form to open, which field to change, and to what."""
    parts: dict[str, Any] = {"conn_type": "ringback", "password": PRIVATE.reveal(), "extra": None}
    parts[field] = json.dumps(value) if isinstance(value, dict) else value
    with pytest.raises(DestinationError) as caught:
        parse_destination("portal", **parts)
    assert str(caught.value).startswith(WHERE + problem)
    assert caught.value.reason == "malformed_destination"


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "Host",
        "TE",
        "trailer",
        "Transfer-Encoding",
        "upgrade",
        "webhook-id",
        "webhook-signature",
        "Webhook-Timestamp",
        "WEBHOOK-anything",
    ],
)
def test_headers_that_ringback_sets_cannot_be_replaced(name: str) -> None:
    """Neither what is signed nor how the request is framed is up to the connection."""
    with pytest.raises(DestinationError, match="is set by Ringback itself"):
        destination({"headers": {name: "x"}})


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a:b", "a\n", "a\r\nb", "\u00e4", "a\x00", "(a)", '"a"', "a/b", "a,b"]
)
def test_a_header_name_must_be_a_token(name: str) -> None:
    """Nothing can be smuggled into the request through a name."""
    with pytest.raises(DestinationError, match="is not a header with a plain text value"):
        destination({"headers": {name: "x"}})


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        True,
        ["a"],
        {},
        "a\r\nb: c",
        "a\n",
        "\n",
        "\x00",
        "\x7f",
        "\u00e4",
        "\u2028",
        " hush",
        "hush ",
        "\thush",
        " ",
    ],
)
def test_a_header_value_must_be_a_plain_text(value: Any) -> None:
    """Line breaks, white space around it and other characters that a client refuses are refused here, by name."""
    with pytest.raises(DestinationError, match="'x-token' is not a header with a plain text value") as caught:
        destination({"headers": {"x-token": value}})
    assert "hush" not in str(caught.value)


@given(st.text(max_size=12))
def test_every_accepted_header_value_can_be_sent(value: str) -> None:
    """The HTTP library would put a value that it refuses into its error, and so into a log."""
    try:
        read = destination({"headers": {"x-token": value}})
    except DestinationError:
        return
    h11.Request(method="POST", target="/", headers=[("host", "x"), *read.headers.items()])


def test_header_names_are_one_case() -> None:
    """A connection that sets ``User-Agent`` replaces the default instead of adding a second one."""
    assert dict(destination({"headers": {"User-Agent": "us", "ACCEPT": "a"}}).headers) == {
        "user-agent": "us",
        "accept": "a",
    }


def test_secrets_are_shown_nowhere() -> None:
    """Neither printing a destination nor any error about it gives a key or a header's value away."""
    read = destination(
        {"allow": [], "headers": {"authorization": "Bearer h-u-s-h"}}, password=f"{PRIVATE.reveal()} {SECRET.reveal()}"
    )
    shown = [repr(read), str(read), repr(read.keys), repr(dataclasses.replace(read, name="x"))]
    with pytest.raises(NotAllowedError) as refused:
        read.check_allowed("https://user:h-u-s-h@portal.example/x?token=h-u-s-h#h-u-s-h")
    shown.append(str(refused.value))
    for key in (PRIVATE, SECRET):
        with pytest.raises(DestinationError) as caught:
            destination({"allow": 7, "headers": {"authorization": "Bearer h-u-s-h"}}, password=key.reveal())
        shown.append(str(caught.value))
        with pytest.raises(DestinationError) as caught:
            destination(password=key.reveal()[:-8] + "h-u-s-h!")
        shown.append(str(caught.value))
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    for text in shown:
        assert "h-u-s-h" not in text
        assert PRIVATE.reveal()[5:] not in text
        assert SECRET.reveal()[6:] not in text


@given(st.text(max_size=40), st.none() | st.text(max_size=40), st.text(max_size=60))
def test_nothing_but_a_destination_error_comes_of_a_connection(kind: str, password: str | None, extra: str) -> None:
    """A connection may hold anything."""
    for conn_type in (kind, "ringback"):
        for key in (password, PRIVATE.reveal()):
            try:
                parse_destination("x", conn_type=conn_type, password=key, extra=extra)
            except DestinationError:
                continue


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("https://portal.example/"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["allow", "headers", "ca_bundle", "client_cert", "client_key", "content_type"]),
        JSON,
        max_size=4,
    )
)
def test_nothing_but_a_destination_error_comes_of_an_extra(extra: dict[str, Any]) -> None:
    """Known members may have any JSON value."""
    try:
        destination(extra)
    except DestinationError as error:
        message = str(error)
    else:
        return
    assert message.startswith("connection ringback_default: extra: ")


def test_a_url_that_is_not_allowed_is_refused_with_the_way_to_allow_it() -> None:
    """The message names the destination, the URL without its query, the pattern to add, and where."""
    with pytest.raises(NotAllowedError) as caught:
        destination().check_allowed("https://other.example:8443/hooks/1?token=x")
    assert str(caught.value) == (
        "nothing was sent: destination 'default' does not allow https://other.example:8443/hooks/1?…. To allow it, add "
        'a pattern such as "https://other.example:8443/" to "allow" in the extra of the Airflow connection '
        "ringback_default"
    )


def test_the_suggested_pattern_allows_the_url() -> None:
    """Who follows the advice is done."""
    url = "http://[fd00::7]:8080/hooks?x=1"
    with pytest.raises(NotAllowedError) as caught:
        destination().check_allowed(url)
    pattern = str(caught.value).split('pattern such as "')[1].split('"')[0]
    destination({"allow": [pattern]}).check_allowed(url)


def test_an_allowed_url_passes() -> None:
    """Nothing happens, and that is all."""
    destination().check_allowed(URL)


def test_tls_verifies_by_default() -> None:
    """Certificates and names are checked unless nobody ever can say otherwise."""
    context = destination().ssl_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("field", ["ca_bundle", "client_cert"])
@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_a_certificate_file_that_cannot_be_used_is_named(field: str, content: str | None, tmp_path: Path) -> None:
    """A missing, empty or foreign file is the destination's fault, and the error says which field."""
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DestinationError, match=rf"^connection ringback_default: {field} cannot be used: "):
        destination({field: str(path)}).ssl_context()


def test_an_encrypted_client_key_is_an_error_and_no_prompt(tmp_path: Path) -> None:
    """OpenSSL would ask for the pass phrase on the terminal, and a task would wait for ever."""
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hush")
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow.example")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "client.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + encrypted)
    # In a session without a terminal, so that a failing test cannot hang either.
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from notifier_samples import destination\n"
        "try: destination({'client_cert': sys.argv[1]}).ssl_context()\n"
        "except Exception as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "client.pem"), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        timeout=30,
        env=dict(os.environ),
        check=True,
    )
    assert done.stdout == (
        "connection ringback_default: client_cert cannot be used: its key is encrypted, and must be stored without a "
        "pass phrase\n"
    )
    assert "pass phrase" not in done.stderr
