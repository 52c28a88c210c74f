"""Whose orders the page takes."""

from __future__ import annotations

import pytest

from ringback_notifier.web._origin import is_json, is_own_origin

BASE = "https://airflow.example/airflow"


@pytest.mark.parametrize(
    ("origin", "scheme", "host", "base_url", "own"),
    [
        ("https://airflow.example", "https", "airflow.example", BASE, True),
        ("https://airflow.example:443", "http", "10.0.0.7:8080", BASE, True),
        ("https://AIRFLOW.example", "https", "airflow.example", None, True),
        ("http://localhost:8080", "http", "localhost:8080", None, True),
        ("https://airflow.example", "http", "airflow.example", None, True),
        ("http://airflow.example", "https", "airflow.example", None, False),
        ("http://airflow.example", "https", "airflow.example", BASE, False),
        ("http://airflow.example", "http", "airflow.example", BASE, False),
        ("http://airflow.example", "http", "airflow.example", "HTTPS://airflow.example", False),
        ("http://airflow.example", "http", "airflow.example", "http://airflow.example", True),
        ("http://10.0.0.7:8080", "http", "10.0.0.7:8080", "http://airflow.example", True),
        ("https://airflow.example", "http", "10.0.0.7:8080", None, False),
        ("https://airflow.example:8443", "https", "airflow.example", BASE, False),
        ("https://evil.example", "https", "airflow.example", BASE, False),
        ("https://evil.example", "https", "evil.example@airflow.example", None, False),
        ("null", "https", "airflow.example", BASE, False),
        ("", "https", "airflow.example", BASE, False),
        (None, "https", "airflow.example", BASE, False),
        (None, "https", None, None, False),
        ("https://[::1", "https", "[::1", "https://[::1", False),
        ("https://", "https", "", None, False),
        ("file:///etc/passwd", "https", "airflow.example", BASE, False),
        ("https://airflow.example:99999", "https", "airflow.example", BASE, False),
    ],
)
def test_only_the_pages_own_origin_counts(
    origin: str | None, scheme: str, host: str | None, base_url: str | None, own: bool
) -> None:
    """By scheme, host and port: what [api] base_url says, or where the request was sent."""
    assert is_own_origin(origin, base_url=base_url, scheme=scheme, host=host) is own


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("text/plain; application/json", False),
        ("application/jsonp", False),
        ("", False),
        (None, False),
    ],
)
def test_only_json_is_taken(content_type: str | None, json: bool) -> None:
    """Which a page of another site cannot send without asking first."""
    assert is_json(content_type) is json
