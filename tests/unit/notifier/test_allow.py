"""Which callback URLs a destination allows."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_notifier._allow import allows, parse_pattern, redacted
from ringback_notifier.errors import DestinationError
from ringback_protocol import CallbackRequestError, parse_callback_request

PATTERNS = tuple(
    parse_pattern(text)
    for text in (
        "https://portal.example/airflow/",
        "https://*.example.com/",
        "https://192.0.2.7:8443/hooks",
        "http://[2001:db8::1]:8080/",
    )
)


def allowed(pattern: str, url: str) -> bool:
    return allows([parse_pattern(pattern)], url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("https://portal.example", "https://portal.example"),
        ("https://portal.example", "https://portal.example/"),
        ("https://portal.example/", "https://portal.example"),
        ("https://portal.example/", "https://portal.example/any/thing?x=1"),
        ("https://portal.example/airflow", "https://portal.example/airflow"),
        ("https://portal.example/airflow", "https://portal.example/airflow/"),
        ("https://portal.example/airflow", "https://portal.example/airflow/completions"),
        ("https://portal.example/airflow/", "https://portal.example/airflow"),
        ("https://portal.example/airflow/", "https://portal.example/airflow?x=1"),
        ("https://portal.example/airflow/", "https://portal.example/airflow/a/b/c"),
        ("https://portal.example/a%2Fb", "https://portal.example/a%2Fb/c"),
        ("https://portal.example:443/", "https://portal.example/"),
        ("https://portal.example/", "https://portal.example:443/"),
        ("https://portal.example/", "https://portal.example:/"),
        ("http://portal.example/", "http://portal.example:80/"),
        ("https://portal.example:8443/", "https://portal.example:8443/"),
        ("https://Portal.EXAMPLE/", "https://portal.example/"),
        ("https://portal.example/", "https://PORTAL.example/"),
        ("HTTPS://portal.example/", "https://portal.example/"),
        ("https://portal.example/", "HTTPS://portal.example/"),
        ("https://*.example.com/", "https://a.example.com/"),
        ("https://*.example.com/", "https://a.b.example.com/x"),
        ("https://*.example.com:8443/x", "https://a.example.com:8443/x/y"),
        ("https://127.0.0.1:8080/", "https://127.0.0.1:8080/"),
        ("http://[::1]:8080/", "http://[::1]:8080/x"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"),
        ("https://my_host/", "https://my_host/x"),
        ("https://portal.example/", "https://portal.example/a...b/.well-known/..hidden/x."),
        ("https://portal.example/", "https://portal.example/?next=../..&u=https://evil.example/"),
        ("https://portal.example/", "https://portal.example//double//slash"),
    ],
)
def test_a_url_under_a_pattern_is_allowed(pattern: str, url: str) -> None:
    """Scheme, host and port are compared as they are, without regard to case; the path by whole segments."""
    assert allowed(pattern, url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("https://portal.example/", "http://portal.example/"),
        ("http://portal.example/", "https://portal.example/"),
        ("https://portal.example/", "https://portal.example:8443/"),
        ("https://portal.example:8443/", "https://portal.example/"),
        ("https://portal.example:80/", "http://portal.example/"),
        ("https://portal.example/airflow", "https://portal.example/"),
        ("https://portal.example/airflow", "https://portal.example"),
        ("https://portal.example/airflow", "https://portal.example/airflow2"),
        ("https://portal.example/airflow/", "https://portal.example/airflow2/x"),
        ("https://portal.example/airflow", "https://portal.example/Airflow"),
        ("https://portal.example/airflow", "https://portal.example//airflow"),
        ("https://portal.example/a/b", "https://portal.example/a"),
        ("https://portal.example/a/b", "https://portal.example/a%2Fb"),
        ("https://*.example.com/", "https://example.com/"),
        ("https://*.example.com/", "https://example.org/"),
        ("https://example.com/", "https://a.example.com/"),
        ("https://[::1]/", "https://[::2]/"),
        ("https://127.0.0.1/", "https://127.0.0.2/"),
    ],
)
def test_a_url_outside_a_pattern_is_not_allowed(pattern: str, url: str) -> None:
    """Another scheme, host, port or path is another place."""
    assert not allowed(pattern, url)


def test_no_pattern_allows_nothing() -> None:
    """An empty allow-list is closed."""
    assert not allows([], "https://portal.example/")


def test_any_one_pattern_is_enough() -> None:
    """Patterns add up."""
    patterns = [parse_pattern("https://a.example/"), parse_pattern("https://b.example/")]
    assert allows(patterns, "https://b.example/x")


P = "https://portal.example"
HOSTILE = [
    # dot segments
    f"{P}/airflow/..",
    f"{P}/airflow/../admin",
    f"{P}/airflow/./../admin",
    f"{P}/airflow/x/../../admin",
    f"{P}/airflow/.",
    f"{P}/airflow/../airflow/x",
    f"{P}/airflow/..?x=1",
    f"{P}/airflow/../?x=1",
    # the same, encoded once, twice, in part
    f"{P}/airflow/%2e%2e/admin",
    f"{P}/airflow/%2E%2E/admin",
    f"{P}/airflow/.%2e/admin",
    f"{P}/airflow/%2e./admin",
    f"{P}/airflow/%2e",
    f"{P}/airflow/%252e%252e/admin",
    f"{P}/airflow/%252e./admin",
    f"{P}/airflow/.%252E/admin",
    f"{P}/airflow/%2e%252e/admin",
    # with slashes that a server may decode
    f"{P}/airflow/..%2fadmin",
    f"{P}/airflow/..%2Fadmin",
    f"{P}/airflow/%2e%2e%2fadmin",
    f"{P}/airflow/x%2f..%2f..%2fadmin",
    f"{P}/airflow/..%252fadmin",
    f"{P}/airflow/%252e%252e%252fadmin",
    f"{P}/airflow/x%2f%2e%2e%2f..",
    # with path parameters, which some servers cut off first
    f"{P}/airflow/..;/admin",
    f"{P}/airflow/..;x=1/admin",
    f"{P}/airflow/%2e%2e;/admin",
    f"{P}/airflow/..%3b/admin",
    f"{P}/airflow/..%3bx/admin",
    f"{P}/airflow/.;/admin",
    f"{P}/airflow/%252e%252e%253b/admin",
    # backslashes, which some servers take for slashes
    f"{P}/airflow/..\\admin",
    f"{P}/airflow\\..\\admin",
    f"{P}\\airflow\\",
    f"{P}/airflow/x\\y",
    f"{P}/airflow/..%5cadmin",
    f"{P}/airflow/x%5c..%5c..%5cadmin",
    f"{P}/airflow/..%255cadmin",
    f"{P}\\@evil.example/airflow/",
    "https:\\\\portal.example/airflow/",
    # credentials, or what looks like the host and is none
    "https://portal.example@evil.example/airflow/",
    "https://portal.example:443@evil.example/airflow/",
    "https://portal.example%40evil.example/airflow/",
    "https://user@portal.example/airflow/",
    "https://user:password@portal.example/airflow/",
    "https://@portal.example/airflow/",
    "https://evil.example#@portal.example/airflow/",
    "https://evil.example?@portal.example/airflow/",
    # the host elsewhere in the URL
    "https://portal.example.evil.example/airflow/",
    "https://evil.example/https://portal.example/airflow/",
    "https://evil.example/?u=https://portal.example/airflow/",
    "https://evil.example/#https://portal.example/airflow/",
    "https://evilportal.example/airflow/",
    "https://portal-example/airflow/",
    "https://portalXexample/airflow/",
    # the wildcard
    "https://example.com/",
    "https://evilexample.com/",
    "https://example.com.evil.example/",
    "https://a.example.com.evil.example/",
    "https://a.example.com@evil.example/",
    "https://evil.example/.example.com/",
    "https://evil.example?.example.com/",
    "https://evil.example#.example.com/",
    "https://evil.example;.example.com/",
    "https://evil.example%2f.example.com/",
    "https://evil.example%00.example.com/",
    "https://evil.example%3f.example.com/",
    "https://evil.example:443.example.com/",
    "https://*.example.com/",
    "https://a.*.example.com/",
    # empty labels and names that end in a dot
    "https://.example.com/",
    "https://..example.com/",
    "https://a..example.com/",
    "https://.a.example.com/",
    "https://a.example.com./",
    "https://portal.example./airflow/",
    "https://portal..example/airflow/",
    # no host, no scheme, other schemes
    "",
    "/airflow/",
    "//portal.example/airflow/",
    "portal.example/airflow/",
    "https:portal.example/airflow/",
    "https:/portal.example/airflow/",
    "https:///portal.example/airflow/",
    "https://",
    "https:///airflow/",
    "ftp://portal.example/airflow/",
    "file:///airflow/",
    "javascript:alert(1)//portal.example/airflow/",
    "httpss://portal.example/airflow/",
    "https://portal.example:evil/airflow/",
    "https://portal.example:99999/airflow/",
    "https://portal.example:-443/airflow/",
    "https://portal.example:443:443/airflow/",
    "https://portal.example:0/airflow/",
    # white space, line breaks and other characters that parsers drop or fold
    " https://portal.example/airflow/",
    "https://portal.example/airflow/ ",
    "https://portal.example /airflow/",
    "https://portal.example/air\tflow/",
    "https://portal.example/airflow/\n",
    "https://portal.example/airflow/\r\nx: y",
    "https://portal.exa\nmple/airflow/",
    "\x00https://portal.example/airflow/",
    "https://portal.example/airflow/\x00",
    "https://portal.example/airflow/.\t./admin",
    "https://portal\u3002example/airflow/",
    "https://port\u00adal.example/airflow/",
    "https://\u24dfortal.example/airflow/",
    "https://portal.example/airflow/\uff0e\uff0e/admin",
    "https://evil\uff0fportal.example/airflow/",
    # addresses in other spellings
    "https://3221225991:8443/hooks",
    "https://0xc0000207:8443/hooks",
    "https://192.0.2.07:8443/hooks",
    "https://0300.0.2.7:8443/hooks",
    "https://[::ffff:192.0.2.7]:8443/hooks",
    "http://[2001:db8::1%25eth0]:8080/",
    "http://[2001:db8::1]evil.example:8080/",
    "http://[2001:db8::1].evil.example:8080/",
    "http://evil.example[2001:db8::1]:8080/",
    "http://[2001:db8::1:8080/",
    "http://2001:db8::1:8080/",
    "http://[v1.portal]:8080/",
]


def test_there_are_many_hostile_urls() -> None:
    """The list below is not cut short by accident."""
    assert len(set(HOSTILE)) == len(HOSTILE) >= 60


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_never_allowed(url: str) -> None:
    """What two parsers may read as two places is not allowed, whatever the patterns."""
    assert not allows(PATTERNS, url)


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        ["https://portal.example/"],
        {"url": "https://portal.example/"},
        "",
        "*",
        "portal.example",
        "//portal.example/",
        "https://",
        "https://*",
        "https://*/",
        "https://*.*/",
        "https://*example.com/",
        "https://a.*.com/",
        "https://portal.example/?x=1",
        "https://portal.example/?",
        "https://portal.example/#x",
        "https://user@portal.example/",
        "https://user:password@portal.example/",
        "https://portal.example\\/",
        "https://portal.example:port/",
        "https://portal.example:99999/",
        "https://portal example/",
        "https://portal..example/",
        "https://.example/",
        "https://portal.example./",
        "https://portal.example/a/../b",
        "https://portal.example/a/%2e%2e/b",
        "https://[::1/",
        "https://[nonsense]/",
        "ftp://portal.example/",
        "https://m\u00fcnchen.example/",
        " https://portal.example/",
        "https://portal.example/ ",
        "https://portal.example/\n",
        ".*",
        "https://.*/",
    ],
)
def test_a_malformed_pattern_is_refused(text: object) -> None:
    """A pattern that could not mean what its author thought is an error that says how to write one."""
    with pytest.raises(DestinationError, match=r"^allow: .*https://portal\.example/"):
        parse_pattern(text)


URLS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="htps:/@.?#[]%;\\ab*1 \t\n\u3002", max_size=60).map(lambda text: "https://" + text),
    st.sampled_from(HOSTILE).flatmap(lambda url: st.text(max_size=5).map(lambda text: url + text)),
    st.sampled_from(HOSTILE).flatmap(
        lambda url: st.tuples(st.integers(0, len(url)), st.text(max_size=3)).map(
            lambda cut: url[: cut[0]] + cut[1] + url[cut[0] :]
        )
    ),
)


@given(URLS)
def test_nothing_but_a_destination_error_is_ever_raised(text: str) -> None:
    """Patterns and URLs may be any text."""
    allows(PATTERNS, text)
    try:
        pattern = parse_pattern(text)
    except DestinationError:
        return
    assert allows([pattern], text.replace("*.", "any."))


NEARLY_ALLOWED = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["https://", "HTTPS://", "http://"]),
    st.sampled_from(["a.example.com", "Portal.Example", "x-1.A.example.COM", "192.0.2.7", "[2001:DB8::1]"]),
    st.sampled_from(["", ":", ":443", ":0443", ":8443", ":8080", ":00"]),
    st.text(alphabet="/.airflowhks%25eE;?#@:\\", max_size=12).map(lambda text: "/airflow/" + text),
)


@given(URLS | NEARLY_ALLOWED)
def test_what_is_allowed_is_where_the_client_connects(url: str) -> None:
    """The HTTP client reads an allowed URL as the same scheme, host, port and path."""
    if not allows(PATTERNS, url):
        return
    ours, theirs = urlsplit(url), httpx.URL(url)
    assert theirs.scheme == ours.scheme
    assert theirs.host.lower() == ours.hostname
    assert (theirs.port or {"http": 80, "https": 443}[theirs.scheme]) == (
        ours.port if ours.port is not None else {"http": 80, "https": 443}[ours.scheme]
    )
    assert not theirs.userinfo
    assert ".." not in theirs.raw_path.split(b"?")[0].decode().split("/")


@given(
    st.sampled_from(["https://portal.example/airflow/", "https://a.example.com/", "https://b.a.example.com/"]),
    st.lists(st.text(alphabet="abc._-~%2EeFf5Cc;\\/", max_size=6), max_size=5),
)
def test_no_path_leads_out_of_a_prefix(start: str, segments: list[str]) -> None:
    """However a path is spelled, a server that decodes it finds itself below the prefix."""
    url = start + "/".join(segments)
    if not allows(PATTERNS, url):
        return
    path = urlsplit(url).path
    for _ in range(2):
        path = unquote(path)
        depth = 0
        for segment in path.replace("\\", "/").removeprefix(urlsplit(start).path).split("/"):
            name = segment.split(";")[0]
            depth += {"..": -1, ".": 0, "": 0}.get(name, 1)
            assert depth >= 0, path


@given(URLS)
def test_a_url_that_conf_may_hold_is_either_allowed_or_not(url: str) -> None:
    """Whatever conf's parser lets through, the allow-list decides without raising."""
    try:
        request = parse_callback_request({"callback_url": url})
    except CallbackRequestError:
        return
    assert request is not None
    assert allows(PATTERNS, request.url) in (True, False)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://portal.example/a/b", "https://portal.example/a/b"),
        ("https://portal.example/a?token=hush", "https://portal.example/a?…"),
        ("https://portal.example/a?token=hush#hush", "https://portal.example/a?…"),
        ("https://portal.example/a#hush", "https://portal.example/a"),
        ("https://user:hush@portal.example:8443/a", "https://portal.example:8443/a"),
        ("https://hush@portal.example/a", "https://portal.example/a"),
        ("http://[2001:db8::1]:8080/a?hush", "http://[2001:db8::1]:8080/a?…"),
        ("https://portal.example:hush/", "(malformed URL)"),
        ("https://[::1/", "(malformed URL)"),
        ("https:user:hush@portal.example/", "(malformed URL)"),
        ("", "(malformed URL)"),
        ("hush", "(malformed URL)"),
    ],
)
def test_a_redacted_url_shows_where_and_no_secret(url: str, shown: str) -> None:
    """A log's reader learns the place; the query and the credentials stay out."""
    assert redacted(url) == shown


@given(
    st.sampled_from(["https://", "http://", "https:", "https:/", "https:\\\\", "//", ""]),
    st.sampled_from(["", "portal.example", "[::1]", "portal.example:8443", "portal.example:x"]),
    st.sampled_from(["", "/", "/a/b", "\\a"]),
)
def test_credentials_query_and_fragment_are_never_shown(scheme: str, host: str, path: str) -> None:
    """However a URL is mangled, its secrets are not in the text."""
    shown = redacted(f"{scheme}s3cret:s3cret@{host}{path}?token=s3cret#s3cret")
    assert "s3cret" not in shown


@given(st.text(max_size=80))
def test_redacting_never_raises(url: str) -> None:
    """Not even what is no URL at all."""
    assert isinstance(redacted(url), str)
