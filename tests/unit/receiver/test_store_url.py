"""Which store a URL means."""

from __future__ import annotations

import pytest

from ringback_receiver._store_url import store_from_url
from ringback_receiver.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///ringback.db", "ringback.db"),
        ("sqlite:///data/ringback.db", "data/ringback.db"),
        ("sqlite:////var/lib/ringback.db", "/var/lib/ringback.db"),
        ("sqlite://", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
    ],
)
def test_sqlite_url_names_a_file(url: str, path: str) -> None:
    """Three slashes for a relative path, four for an absolute one, none for memory."""
    assert store_from_url(url)._path == path  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["ringback.db", "mysql://root:hunter2@db/x", "sqlite:///", "sqlite://host/x", ""])
def test_other_url_is_refused_without_its_password(url: str) -> None:
    """The error says what would be right and shows no secret."""
    with pytest.raises(ConfigurationError, match=r"sqlite:///ringback\.db") as caught:
        store_from_url(url)
    assert "hunter2" not in str(caught.value)
