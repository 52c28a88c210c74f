"""What is shown of URLs, answers and bodies."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback_notifier._redaction import secrets_of, shown_body, shown_text, shown_url

SECRET = "hush-h/ush+1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://portal.example/a/b", "https://portal.example/a/b"),
        ("https://portal.example/a?token=x", "https://portal.example/a?…"),
        ("https://portal.example/a#x", "https://portal.example/a#…"),
        ("https://portal.example?x#y", "https://portal.example?…"),
        ("https://user:pass@portal.example:8443/a", "https://…@portal.example:8443/a"),
        ("https://a@b@portal.example/", "https://…@portal.example/"),
        ("https://portal.example/a@b", "https://portal.example/a@b"),
        ("https://[::1]:8443/a?b", "https://[::1]:8443/a?…"),
        ("https://[broken/a?token=x", "https://[broken/a?…"),
        ("/a?token=x", "/a?…"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    """What it leads to stays; that something is left out is marked; and nothing is left out twice."""
    assert shown_url(url) == shown
    assert shown_url(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "see https://a.example/x?key=1234, or <https://b.example/>",
            "see https://a.example/x?… or <https://b.example/>",
        ),
        ("GET /hook?token=1234 HTTP/1.1", "GET /hook?… HTTP/1.1"),
        ("is it so? yes=no", "is it so? yes=no"),
        ("why?because", "why?because"),
        ("postgresql://u:p@db/x", "postgresql://…@db/x"),
    ],
)
def test_urls_and_queries_in_a_text_are_cut(text: str, shown: str) -> None:
    """The rest is left as it is."""
    assert shown_text(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        f"https://portal.example/a?token={SECRET}",
        f"https://portal.example/a?token={quote(SECRET, safe='')}&b=c",
        f"https://portal.example/a?{SECRET}",
        f"https://{quote(SECRET, safe='')}@portal.example/a",
        f"https://user:{quote(SECRET, safe='')}@portal.example/a",
        f"https://portal.example/a#{SECRET}",
    ],
)
@pytest.mark.parametrize("form", ["bad token {}.", "{}", "<b>{}</b>", '{{"got":"{}"}}'])
def test_an_answer_that_repeats_a_secret_is_shown_without_it(url: str, form: str) -> None:
    """As it was sent, decoded, or escaped for HTML."""
    secrets = secrets_of(url)
    for spelling in (SECRET, quote(SECRET, safe=""), url, url.replace("&", "&amp;")):
        shown = shown_text(form.format(spelling), secrets)
        assert SECRET not in shown
        assert quote(SECRET, safe="") not in shown


@pytest.mark.parametrize(
    "said",
    [
        r"hush+h&ush=1\/\u00e9",
        r"hush+h\u0026ush=1/é",
        r"hush+h\u0026ush\u003d1/é",
        r"hush\u002Bh\u0026ush=1/\u00E9",
    ],
    ids=["PHP", "Go", "Gson", ".NET"],
)
def test_an_answer_that_repeats_a_secret_in_json_is_shown_without_it(said: str) -> None:
    """However its writer escapes."""
    secret = "hush+h&ush=1/é"
    assert json.loads(f'"{said}"') == secret
    secrets = secrets_of(f"https://portal.example/a?token={quote(secret, safe='')}")
    assert shown_text(f'{{"got":"{said}"}}', secrets) == '{"got":"…"}'


@pytest.mark.parametrize("kept", range(4, len(SECRET) + 1))
def test_a_secret_that_an_answers_end_cuts_is_not_shown(kept: int) -> None:
    """Only the beginning of an answer is kept; of one that is short, all is."""
    secrets = secrets_of(f"https://portal.example/a?token={SECRET}")
    filling = "é" * (499 - kept)
    assert shown_text(f"{filling} {SECRET[:kept]}", secrets) == f"{filling} …"
    assert shown_text(f"{filling} token={SECRET[:kept]}", secrets) == f"{filling} …"
    assert shown_text("a bad token", secrets) == "a bad token"


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#&=/@:%+\\\"'<>"), min_size=6),
    st.recursive(
        st.sampled_from(["{url}", "{secret}", "x {url} y", 1, 2.5, None, True]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "{url}", "b"]), inner),
        max_leaves=8,
    ),
)
@example("secret", "{url}")
def test_no_body_shows_a_query(secret: str, shape: Any) -> None:
    """However deep it is, and whether it is a value or a name; the rest of the body stays."""
    url = f"https://portal.example/a?t={secret}"

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("{url}", url).replace("{secret}", secret)
        if isinstance(value, list):
            return [filled(item) for item in value]
        return {filled(name): filled(item) for name, item in value.items()} if isinstance(value, dict) else value

    rest = "a word that is no secret of anybody's"
    sent = json.dumps({"audience": url, "data": filled(shape), "kept": rest}).encode()
    shown = shown_body(sent, secrets_of(url))
    document = json.loads(shown.text)
    assert shown.redacted
    assert document["audience"] == "https://portal.example/a?…"
    if secret not in rest and secret not in url.partition("?")[0]:
        assert document["kept"] == rest
        assert f"t={secret}" not in shown.text + str(shown.pretty)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"not JSON https://a.example/?key=1234", "not JSON https://a.example/?…"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 20_000, "[" * 20_000),
    ],
)
def test_a_body_that_is_no_json_is_shown_as_text(body: bytes, text: str) -> None:
    """There is none like that, unless somebody wrote it into the database."""
    shown = shown_body(body)
    assert (shown.text, shown.pretty) == (text, None)


@pytest.mark.parametrize("text", ["a." * 10_000, "a://" * 5_000, "?a=" * 7_000, "?" * 20_000, "http:" * 4_000])
def test_no_text_takes_long(text: str) -> None:
    """An answer is a stranger's, and looked at in Airflow's API server."""
    started = time.perf_counter()
    shown_text(text, secrets_of("https://portal.example/?token=12345"))
    assert time.perf_counter() - started < 2
