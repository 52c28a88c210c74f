"""The values of the outbox: keys, hosts and precedence."""

from __future__ import annotations

from typing import Any

import pytest

import ringback_notifier.outbox as outbox
from ringback_notifier.outbox import Hint, host_of, run_key
from ringback_notifier.outbox._precedence import change_of


def hint(**changes: Any) -> Hint:
    values: dict[str, Any] = {"dag_id": "a", "run_id": "b", "event_id": "msg_1", "state": None, "seen_by": "callback"}
    return Hint(**{**values, "due_at": 0.0, **changes})


def test_a_hint_is_kept_by_its_event_or_by_its_run() -> None:
    """Whoever cannot know the event id still writes one hint for a run, and not two."""
    assert hint().key == "msg_1"
    assert hint(event_id=None).key == run_key("a", "b")


def test_runs_have_different_keys() -> None:
    """No two runs share a key, whatever their ids are made of, and a key is no event id."""
    keys = {run_key("a", "b"), run_key("a/b", ""), run_key("", "a/b"), run_key("b", "a"), run_key("é", "\udc80")}
    assert len(keys) == 5
    assert all(key.startswith("run_") and len(key) == 36 for key in keys)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Portal.Example/x", "portal.example:443"),
        ("http://portal.example:8080/x?y#z", "portal.example:8080"),
        ("http://10.0.0.1", "10.0.0.1:80"),
        ("https://[2001:DB8::1]/", "[2001:db8::1]:443"),
        ("", ""),
        ("https:///x", ""),
        ("https://host:port/", ""),
    ],
)
def test_the_host_of_a_url_is_written_one_way(url: str, host: str) -> None:
    """A breaker knows a host by one name."""
    assert host_of(url) == host


@pytest.mark.parametrize("new", ["due", "delivered", "gone", "refused"])
@pytest.mark.parametrize("present", ["hint", "due", "leased", "delivered", "dead", "gone", "refused"])
def test_what_is_over_is_never_changed_and_an_end_changes_all_else(present: Any, new: Any) -> None:
    """The order of precedence, in full, for a body that cannot be improved."""
    change = change_of(present=present, built_by="task", new=new, has_body=True)
    if present in ("delivered", "gone"):
        assert change == "nothing"
    elif present == "hint" or new in ("delivered", "gone"):
        assert change == "everything"
    else:
        assert change == "nothing"


@pytest.mark.parametrize("built_by", ["listener", "relay", "callback", "task", "reconciler"])
@pytest.mark.parametrize("has_body", [True, False])
def test_only_a_poorer_body_is_replaced(built_by: str, has_body: bool) -> None:
    """Listener and relay know no result; a report without a body improves nothing."""
    change = change_of(present="due", built_by=built_by, new="due", has_body=has_body)
    assert change == ("body" if built_by in ("listener", "relay") and has_body else "nothing")


def test_every_public_name_can_be_had() -> None:
    """What ``__all__`` promises is there, and nothing else pretends to be."""
    for name in outbox.__all__:
        assert getattr(outbox, name) is not None
    assert set(dir(outbox)) == set(outbox.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Inbox'"):
        _ = outbox.Inbox
