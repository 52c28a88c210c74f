"""A callback URL is taken apart in one way, or not at all."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_protocol import CallbackUrl, CallbackUrlError, parse_callback_url
from ringback_protocol.callback_url import MAX_URL_CHARS


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "target"),
    [
        ("https://portal.example", "https", "portal.example", 443, "/"),
        ("http://portal.example/", "http", "portal.example", 80, "/"),
        ("HTTPS://Portal.EXAMPLE:8443/A?B=c", "https", "portal.example", 8443, "/A?B=c"),
        ("https://portal.example:/x", "https", "portal.example", 443, "/x"),
        ("https://portal.example?q=1", "https", "portal.example", 443, "/?q=1"),
        ("https://portal.example/a?b?c/d:e@f", "https", "portal.example", 443, "/a?b?c/d:e@f"),
        ("https://portal.example//a//b/", "https", "portal.example", 443, "//a//b/"),
        ("https://portal.example/%2e%2E/%zz", "https", "portal.example", 443, "/%2e%2E/%zz"),
        ("https://192.0.2.7:1/", "https", "192.0.2.7", 1, "/"),
        ("https://[2001:DB8:0::1]:65535/x", "https", "2001:db8::1", 65535, "/x"),
        ("https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", 443, "/"),
        ("https://XN--BCHER-KVA.example/", "https", "xn--bcher-kva.example", 443, "/"),
        ("https://xn--mgba3gch31f060k.example/", "https", "xn--mgba3gch31f060k.example", 443, "/"),
        ("https://my_host/", "https", "my_host", 443, "/"),
        ("https://_a.b-c.d1/", "https", "_a.b-c.d1", 443, "/"),
        ("https://1.example/", "https", "1.example", 443, "/"),
        ("https://0x7f.example/", "https", "0x7f.example", 443, "/"),
        (f"https://{'a' * 63}.example/", "https", f"{'a' * 63}.example", 443, "/"),
    ],
)
def test_a_url_is_taken_apart(text: str, scheme: str, host: str, port: int, target: str) -> None:
    """Scheme and host in lower case, the port spelled out, path and query to the byte."""
    assert parse_callback_url(text) == CallbackUrl(scheme=scheme, host=host, port=port, target=target)


NUMBERS = "has a host that ends in a number, but is no IPv4 address"
NO_NAME = "has a host that is neither a DNS name nor an IP address"
BRACKETS = "has brackets around what is no IPv6 address"
PORT = "has a port that is no number from 1 to 65535"
PUNYCODE = "has a host with malformed punycode"


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        # what C libraries, browsers and curl read as an IPv4 address
        ("2130706433", NUMBERS),
        ("017700000001", NUMBERS),
        ("0x7f000001", NUMBERS),
        ("0x7F000001", NUMBERS),
        ("0x", NUMBERS),
        ("127.1", NUMBERS),
        ("127.0.1", NUMBERS),
        ("127.0.0.01", NUMBERS),
        ("0127.0.0.1", NUMBERS),
        ("0x7f.0.0.1", NUMBERS),
        ("127.0.0.0x1", NUMBERS),
        ("127.0.0.256", NUMBERS),
        ("127.0.0.1.1", NUMBERS),
        ("127..0.1", NUMBERS),
        (".127.0.0.1", NUMBERS),
        ("a.1", NUMBERS),
        ("portal.example.0xff", NUMBERS),
        ("99999999999999999999", NUMBERS),
        # dots
        ("127.0.0.1.", "has a host that ends with a dot"),
        ("portal.example.", "has a host that ends with a dot"),
        (".", "has a host that ends with a dot"),
        ("a..b", NO_NAME),
        (".example", NO_NAME),
        # labels
        ("-a.example", NO_NAME),
        ("a-.example", NO_NAME),
        ("a" * 64 + ".example", NO_NAME),
        (".".join(["a" * 49] * 5) + ".abcd", NO_NAME),
        ("*.example", NO_NAME),
        ("a%2eb", NO_NAME),
        ("a;b", NO_NAME),
        ("portal.example,evil.example", NO_NAME),
        # punycode
        ("xn--", NO_NAME),
        ("xn--.example", NO_NAME),
        ("xn--abc-.example", NO_NAME),
        ("xn--localhost-.example", NO_NAME),
        ("a.xn--99999999999.example", PUNYCODE),
        ("xn--a_.example", PUNYCODE),
        ("xn--9.example", PUNYCODE),
        # brackets
        ("[", NO_NAME),
        ("[]", BRACKETS),
        ("[::1", NO_NAME),
        ("::1]", NO_NAME),
        ("[127.0.0.1]", BRACKETS),
        ("[localhost]", BRACKETS),
        ("[::1%25lo]", BRACKETS),
        ("[fe80::1%lo]", BRACKETS),
        ("[::1].example", NO_NAME),
        ("[::g]", BRACKETS),
        ("[1::2::3]", BRACKETS),
        ("[::ffff:127.0.0.1.5]", BRACKETS),
        ("[v1.a]", BRACKETS),
        # ports
        ("h:0", "port 0 cannot be dialled"),
        ("h:00", PORT),
        ("h:0443", PORT),
        ("h:65536", PORT),
        ("h:443443", PORT),
        ("h:+443", PORT),
        ("h:4_43", PORT),
        ("h:443:443", PORT),
        ("h:http", PORT),
        ("", "has no host"),
        (":443", "has no host"),
    ],
)
def test_a_host_that_may_be_read_in_two_ways_is_none(host: str, problem: str) -> None:
    """What one program takes for a name and another for an address is refused, whichever it is."""
    with pytest.raises(CallbackUrlError) as caught:
        parse_callback_url(f"https://{host}/")
    assert caught.value.problem.startswith(problem)
    assert host == "" or len(host) < 3 or host not in str(caught.value)


@pytest.mark.parametrize("text", [None, 7, b"https://portal.example/", ["https://portal.example/"]])
def test_only_a_text_is_a_url(text: Any) -> None:
    """What is no text is called by its kind."""
    with pytest.raises(CallbackUrlError, match="must be a text, not "):
        parse_callback_url(text)


def test_a_long_url_is_refused_before_it_is_read() -> None:
    """The limit counts characters of the whole."""
    assert parse_callback_url("https://h/" + "a" * (MAX_URL_CHARS - 10)).port == 443
    with pytest.raises(CallbackUrlError, match="2049 characters; at most 2048 are allowed"):
        parse_callback_url("https://h/" + "a" * (MAX_URL_CHARS - 9))


@pytest.mark.parametrize(
    ("text", "authority", "address"),
    [
        ("https://portal.example:443/x", "portal.example", None),
        ("https://portal.example:80/x", "portal.example:80", None),
        ("http://10.0.0.1:80/x", "10.0.0.1", "10.0.0.1"),
        ("http://[::1]:8080/x", "[::1]:8080", "::1"),
    ],
)
def test_a_url_knows_its_authority_and_its_address(text: str, authority: str, address: str | None) -> None:
    """As a ``Host`` header and an allow-list want them."""
    url = parse_callback_url(text)
    assert url.authority == authority
    assert url.origin == f"{url.scheme}://{authority}"
    assert str(url.address) == str(address)


ALPHABET = "htps:/@[]#?%.\\ 0123456789abxXnN-_*\n\t;,"
HOSTS = st.text(ALPHABET, max_size=24) | st.from_regex(
    r"(xn--)?[a-z0-9_-]{0,6}(\.(xn--)?[a-z0-9x-]{0,6}){0,3}|\[[0-9a-f:.%]{0,20}\]", fullmatch=True
)


@given(host=HOSTS, port=st.sampled_from(["", ":", ":443", ":8080", ":0", ":99999"]), rest=st.text(ALPHABET, max_size=8))
@settings(max_examples=600, deadline=None)
def test_what_is_taken_is_read_alike_by_other_parsers(host: str, port: str, rest: str) -> None:
    """The standard library and httpx see the same scheme, host and port in every URL that is taken."""
    text = f"https://{host}{port}/{rest}"
    try:
        ours = parse_callback_url(text)
    except CallbackUrlError:
        return
    split, theirs = urlsplit(text), httpx.URL(text)
    assert split.scheme == theirs.scheme == ours.scheme
    assert (split.port or 443) == (theirs.port or 443) == ours.port
    for seen in (split.hostname or "", theirs.raw_host.decode("ascii")):
        assert parse_callback_url(f"https://[{seen}]/" if ":" in seen else f"https://{seen}/").host == ours.host
    assert text.endswith(ours.target.removeprefix("/"))
