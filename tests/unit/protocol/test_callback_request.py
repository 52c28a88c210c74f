"""Asking for a callback in ``dag_run.conf``."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringback_protocol import CallbackRequest, CallbackRequestError, parse_callback_request
from ringback_protocol.callback_url import MAX_URL_CHARS

from .samples import URL


def test_the_long_form_says_everything() -> None:
    """Every member of ``callback`` is read."""
    conf = {
        "callback": {"url": URL, "correlation_id": "req_5V1nX0", "destination": "portal", "events": ["started"]},
        "region": "APAC",
    }
    assert parse_callback_request(conf) == CallbackRequest(
        url=URL, correlation_id="req_5V1nX0", destination="portal", events=("started",)
    )


@pytest.mark.parametrize("conf", [{"callback": {"url": URL}}, {"callback_url": URL}])
def test_the_rest_has_defaults(conf: dict[str, Any]) -> None:
    """A URL is enough, and the short form says the same as the long one."""
    assert parse_callback_request(conf) == CallbackRequest(
        url=URL, correlation_id=None, destination="default", events=("succeeded", "failed")
    )


def test_any_mapping_will_do() -> None:
    """Airflow may hand out a read-only view."""
    conf = MappingProxyType({"callback": MappingProxyType({"url": URL})})
    assert parse_callback_request(conf) == CallbackRequest(url=URL)


@pytest.mark.parametrize("conf", [None, {}, {"region": "APAC"}, {"Callback": 1}, [], ["callback"], "callback", 0])
def test_a_run_that_asks_for_nothing_is_left_alone(conf: Any) -> None:
    """Without ``callback`` a run is none of our business, whatever its conf is."""
    assert parse_callback_request(conf) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://portal.example",
        "HTTPS://PORTAL.example/",
        "http://localhost:8000/hook",
        "https://portal.example:8443/a/b?c=d&e=%20",
        "https://under_score.internal/hook",
        "https://xn--bcher-kva.example/",
        "https://10.0.0.1/hook",
        "https://[2001:db8::1]:8443/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://portal.example/@name/a:b;c=1,2!$'()*+",
        "https://portal.example?q",
        "https://portal.example:/hook",
        "https://h/" + "a" * (MAX_URL_CHARS - 10),
    ],
)
def test_a_good_url_is_kept_byte_for_byte(url: str) -> None:
    """The URL is signed as the audience, so nothing about it is ever normalised."""
    for conf in ({"callback_url": url}, {"callback": {"url": url}}):
        request = parse_callback_request(conf)
        assert request is not None
        assert request.url == url


BAD_URLS: list[Any] = [
    None,
    True,
    1,
    1.5,
    ["https://portal.example/"],
    {"url": URL},
    b"https://portal.example/",
    "",
    " ",
    "portal.example/hook",
    "//portal.example/hook",
    "/hook",
    "https:",
    "https://",
    "https:///hook",
    "https:portal.example",
    "https://?q",
    "https://:443/hook",
    "https://@/hook",
    "ftp://portal.example/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "httpss://portal.example/",
    " https://portal.example/",
    "https://portal.example/ ",
    "https://portal.example/a b",
    "https://portal.example/\n",
    "https://portal.example/\r\nHost: evil.example",
    "ht\ntps://portal.example/",
    "https://portal.example/\t",
    "https://portal.example/\x00",
    "https://portal.example/\x7f",
    "https://portal.example/caf\u00e9",
    "https://b\u00fccher.example/",
    "https://portal\u3002example/",
    "https://portal.example\uff0f.evil.example/",
    "https://portal.example/\u202e",
    "https://portal.example/\ud800",
    "https://portal.example\\@evil.example/",
    "https://portal.example/a\\b",
    "https://user@portal.example/",
    "https://user:pass@portal.example/",
    "https://:pass@portal.example/",
    "https://portal.example@evil.example/",
    "https://portal.example/#",
    "https://portal.example/#part",
    "https://portal.example#@evil.example/",
    "https://portal.example:0/",
    "https://portal.example:65536/",
    "https://portal.example:-1/",
    "https://portal.example:+443/",
    "https://portal.example:4_43/",
    "https://portal.example:http/",
    "https://portal.example:443:443/",
    "https://[::1/",
    "https://::1]/",
    "https://::1/",
    "https://[]/",
    "https://[::1]evil.example/",
    "https://evil.example[::1]/",
    "https://[::1].evil.example/",
    "https://[evil.example]/",
    "https://[10.0.0.1]/",
    "https://[v1.evil]/",
    "https://[::1%25eth0]/",
    "https://[::1%eth0]/",
    "https://[[::1]]/",
    "https://[::1]:x/",
    "https://[1:2:3]/",
    "https://portal.example%2fevil.example/",
    "https://portal%2eexample/",
    "https://portal.example;evil.example/",
    "https://portal.example,evil.example/",
    "https://por<tal.example/",
    "https://portal.example&evil.example/",
    "https://*.example/",
    "https://h/" + "a" * (MAX_URL_CHARS - 9),
    "https://" + "a" * 1_000_000,
]


@pytest.mark.parametrize("url", BAD_URLS, ids=lambda url: ascii(url)[:40])
def test_a_bad_url_is_an_error_that_names_its_key(url: Any) -> None:
    """In either form the error says which member is at fault, and shows nothing of it."""
    for key, conf in (("callback_url", {"callback_url": url}), ("callback.url", {"callback": {"url": url}})):
        with pytest.raises(CallbackRequestError) as caught:
            parse_callback_request(conf)
        assert caught.value.key == key
        assert str(caught.value) == f"conf['{key}']: {caught.value.problem}"
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (None, "must be a text, not null"),
        (["x"], "must be a text, not list"),
        ("https://h/" + "a" * 2_039, "2049 characters; at most 2048 are allowed"),
        ("https://h/ ", "must be visible ASCII without spaces"),
        ("https://h\\a", "must not contain a backslash"),
        ("https://h:x/", "has a port that is no number"),
        ("ftp://h/", "must start with https://"),
        ("https:///a", "has no host"),
        ("https://h:0/", "port 0 cannot be dialled"),
        ("https://u:p@h/", "must not contain credentials"),
        ("https://[::1]h/", "has a host that is neither a DNS name nor an IP address"),
        ("https://h/#a", "must not have a fragment"),
    ],
)
def test_the_error_says_what_is_wrong_with_the_url(url: Any, problem: str) -> None:
    """Each rule has its own words, so that the caller need not guess."""
    with pytest.raises(CallbackRequestError) as caught:
        parse_callback_request({"callback_url": url})
    assert caught.value.problem.startswith(problem)


def _callback(**members: Any) -> dict[str, Any]:
    return {"callback": {"url": URL, **members}}


@pytest.mark.parametrize(
    ("conf", "key"),
    [
        # the whole
        ({"callback": None}, "callback"),
        ({"callback": URL}, "callback"),
        ({"callback": []}, "callback"),
        ({"callback": [{"url": URL}]}, "callback"),
        ({"callback": True}, "callback"),
        ({"callback": 0}, "callback"),
        ({"callback": {}}, "callback.url"),
        ({"callback": {"correlation_id": "req_1"}}, "callback.url"),
        ({"callback": {"url": URL}, "callback_url": URL}, "callback_url"),
        ({"callback": None, "callback_url": URL}, "callback_url"),
        # unknown members
        (_callback(secret="whsec_x"), "callback.secret"),
        (_callback(URL=URL), "callback.URL"),
        (_callback(event=["failed"]), "callback.event"),
        (_callback(**{"": 1}), "callback."),
        (_callback(**{"url\n": 1}), "callback.url\n"),
        (_callback(**{"caf\u00e9": 1}), "callback.caf\u00e9"),
        ({"callback": {1: 1, "url": URL}}, "callback.1"),
        ({"callback": {None: 1, "url": URL}}, "callback.None"),
        # correlation_id
        (_callback(correlation_id=""), "callback.correlation_id"),
        (_callback(correlation_id=5), "callback.correlation_id"),
        (_callback(correlation_id=True), "callback.correlation_id"),
        (_callback(correlation_id=["req_1"]), "callback.correlation_id"),
        (_callback(correlation_id={"id": 1}), "callback.correlation_id"),
        (_callback(correlation_id="a b"), "callback.correlation_id"),
        (_callback(correlation_id="req_1\n"), "callback.correlation_id"),
        (_callback(correlation_id="req\x00"), "callback.correlation_id"),
        (_callback(correlation_id="caf\u00e9"), "callback.correlation_id"),
        (_callback(correlation_id="\ud800"), "callback.correlation_id"),
        (_callback(correlation_id="a" * 129), "callback.correlation_id"),
        (_callback(correlation_id=b"req_1"), "callback.correlation_id"),
        # destination
        (_callback(destination=None), "callback.destination"),
        (_callback(destination=""), "callback.destination"),
        (_callback(destination=1), "callback.destination"),
        (_callback(destination=["portal"]), "callback.destination"),
        (_callback(destination="por tal"), "callback.destination"),
        (_callback(destination="portal\n"), "callback.destination"),
        (_callback(destination="../other"), "callback.destination"),
        (_callback(destination="a.b"), "callback.destination"),
        (_callback(destination="p\u00f6rtal"), "callback.destination"),
        (_callback(destination="\u0661"), "callback.destination"),
        (_callback(destination="a" * 65), "callback.destination"),
        # events
        (_callback(events=None), "callback.events"),
        (_callback(events=[]), "callback.events"),
        (_callback(events=()), "callback.events"),
        (_callback(events="failed"), "callback.events"),
        (_callback(events={"failed": True}), "callback.events"),
        (_callback(events=1), "callback.events"),
        (_callback(events=["finished"]), "callback.events"),
        (_callback(events=["Failed"]), "callback.events"),
        (_callback(events=["failed "]), "callback.events"),
        (_callback(events=["failed", None]), "callback.events"),
        (_callback(events=["failed", 1]), "callback.events"),
        (_callback(events=[["failed"]]), "callback.events"),
        (_callback(events=[{}]), "callback.events"),
        (_callback(events=["success"]), "callback.events"),
    ],
)
def test_a_malformed_request_is_an_error_that_names_its_key(conf: Any, key: str) -> None:
    """Whoever wrote the conf is told which member to mend."""
    with pytest.raises(CallbackRequestError) as caught:
        parse_callback_request(conf)
    assert caught.value.key == key
    assert repr(key) in str(caught.value)
    assert caught.value.problem


def test_an_error_does_not_repeat_the_credentials_of_a_url() -> None:
    """What should never have been in conf does not get into the log as well."""
    for url in ("https://user:hunter2@portal.example/", "https://user:hunter2@[portal/", "https://h:hunter2/"):
        with pytest.raises(CallbackRequestError) as caught:
            parse_callback_request({"callback_url": url})
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("correlation_id", ["!", "~", "a" * 128, "{}<>\"'\\"])
def test_a_correlation_id_is_any_visible_ascii(correlation_id: str) -> None:
    """It is opaque, and echoed as it came."""
    request = parse_callback_request(_callback(correlation_id=correlation_id))
    assert request is not None
    assert request.correlation_id == correlation_id


def test_a_null_correlation_id_is_none() -> None:
    """Clients that write every member may write null."""
    assert parse_callback_request(_callback(correlation_id=None)) == CallbackRequest(url=URL)


def test_events_are_a_set() -> None:
    """Neither the order nor a repetition in ``events`` matters."""
    request = parse_callback_request(_callback(events=["failed", "started", "failed"]))
    assert request is not None
    assert request.events == ("started", "failed")


def test_a_request_wants_the_states_of_its_events() -> None:
    """A filter in the words of events answers for the states of runs."""
    default = CallbackRequest(url=URL)
    started = CallbackRequest(url=URL, events=("started",))
    assert [default.wants(state) for state in ("running", "success", "failed")] == [False, True, True]
    assert [started.wants(state) for state in ("running", "success", "failed")] == [True, False, False]


EVENTS = st.lists(st.sampled_from(["started", "succeeded", "failed"]), min_size=1)


@given(
    correlation_id=st.none() | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128),
    destination=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    events=EVENTS,
)
@settings(max_examples=50, deadline=None)
def test_what_a_request_writes_into_conf_reads_back(
    correlation_id: str | None, destination: str, events: list[str]
) -> None:
    """A caller may pass a parsed request on to another run."""
    request = parse_callback_request(_callback(correlation_id=correlation_id, destination=destination, events=events))
    assert request is not None
    assert parse_callback_request(request.to_conf()) == request


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = st.sampled_from(["url", "correlation_id", "destination", "events"]) | st.text(max_size=3)
URLS = st.text(max_size=40) | st.text("htps:/@[]#?%.\\ 0123456789ab\n", max_size=20).map("https://{}".format)


@given(
    JSON
    | st.dictionaries(
        st.sampled_from(["callback", "callback_url"]),
        JSON | URLS | st.dictionaries(KEYS, JSON | URLS | EVENTS, max_size=5),
        max_size=2,
    )
)
@settings(max_examples=200, deadline=None)
def test_any_json_value_is_understood_or_refused(conf: Any) -> None:
    """Whatever a run's conf is, it gives a request, nothing, or one kind of error."""
    try:
        request = parse_callback_request(conf)
    except CallbackRequestError:
        return
    assert request is None or parse_callback_request(request.to_conf()) == request
