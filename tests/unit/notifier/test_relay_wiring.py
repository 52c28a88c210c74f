"""The Airflow connection from which a relay reads."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ringback_notifier.errors import NotifierError
from ringback_notifier.relay._wiring import runs_api


def connection(**members: Any) -> Any:
    return SimpleNamespace(
        **{"host": "", "schema": None, "port": None, "login": None, "password": None, "extra": None, **members}
    )


@pytest.mark.parametrize(
    ("members", "address"),
    [
        ({"host": "https://airflow.example/team/"}, "https://airflow.example/team"),
        ({"host": "airflow.example"}, "https://airflow.example"),
        ({"host": "airflow.example", "schema": "http", "port": 8080}, "http://airflow.example:8080"),
        ({"host": "https://airflow.example/team", "port": 8443}, "https://airflow.example:8443/team"),
    ],
)
def test_the_address_is_put_together(members: dict[str, Any], address: str) -> None:
    """A host with or without scheme, a port, a path."""
    assert address in repr(runs_api(connection(login="relay", password="hush", **members)))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "airflow connections add ringback_airflow"),
        (connection(), "host is empty"),
        (connection(host="ftp://airflow.example"), "https:// or http://"),
        (connection(host="http://user:s3cret@airflow.example"), "must not hold credentials"),
        (connection(host="https://airflow.example", login="relay"), "no password"),
        (connection(host="https://airflow.example", password="s3cret with spaces"), "is no token"),
        (connection(host="https://airflow.example", extra="[]"), "extra must be a JSON object"),
        (connection(host="https://airflow.example", extra='{"ca_bundle": 1}'), "ca_bundle"),
    ],
)
def test_what_is_wrong_is_named_without_its_secrets(made: Any, said: str) -> None:
    """The message says what to mend."""
    with pytest.raises(NotifierError, match=said) as caught:
        runs_api(made)
    assert "s3cret" not in str(caught.value)


def test_a_token_may_end_with_a_line() -> None:
    """As it does when it comes from a file."""
    assert runs_api(connection(host="https://airflow.example", password="abc.def\n"))._given == "abc.def"
