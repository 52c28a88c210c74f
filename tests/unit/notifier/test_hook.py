"""The connection form's test button."""

from __future__ import annotations

import json
from typing import Any

import pytest
from notifier_samples import PRIVATE

from ringback_notifier.hooks import RingbackHook


def set_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, **changes: Any) -> None:
    connection = {
        "conn_type": "ringback",
        "password": PRIVATE.reveal(),
        "extra": {"allow": ["https://portal.example/"]},
        **changes,
    }
    monkeypatch.setenv("AIRFLOW_CONN_" + conn_id.upper(), json.dumps(connection))


@pytest.mark.parametrize("conn_id", ["ringback_portal", "k3jd9a"])
def test_a_good_connection_passes_under_any_id(monkeypatch: pytest.MonkeyPatch, conn_id: str) -> None:
    """Airflow's form tests what is in it under a random id."""
    set_connection(monkeypatch, conn_id)
    assert RingbackHook(conn_id).test_connection() == (True, "1 signing key(s), 1 allowed URL pattern(s)")


def test_the_default_connection_is_the_default_destinations() -> None:
    """The names that Airflow asks for are there."""
    assert (RingbackHook().ringback_conn_id, RingbackHook.conn_name_attr) == ("ringback_default", "ringback_conn_id")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"conn_type": "http"}, "its type is 'http'"),
        ({"password": "hush"}, "password: a signing key starts with"),
        ({"extra": {"allowed": []}}, "unknown member 'allowed'"),
        ({"extra": {"allow": ["https://portal.example/"], "ca_bundle": "/no/such/file"}}, "ca_bundle cannot be used"),
        ({"extra": {}}, '"allow" is empty: nothing would be sent'),
    ],
)
def test_a_bad_connection_fails_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], problem: str
) -> None:
    """The form shows what to mend, and no secret."""
    set_connection(monkeypatch, "ringback_portal", **changes)
    passed, message = RingbackHook("ringback_portal").test_connection()
    assert not passed
    assert problem in message
    assert "hush" not in message


def test_a_missing_connection_fails_with_the_reason() -> None:
    """The message is not a traceback."""
    passed, message = RingbackHook("ringback_nobody").test_connection()
    assert not passed
    assert message.startswith("there is no Airflow connection ringback_nobody")


def test_there_is_nothing_to_connect_to() -> None:
    """The hook only checks settings."""
    with pytest.raises(NotImplementedError):
        RingbackHook().get_conn()
