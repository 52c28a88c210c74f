"""The request for a callback in a run's conf."""

from __future__ import annotations

import pytest

from ringback_protocol import CallbackRequestError, parse_callback_request
from ringback_receiver._callback_conf import check_callback, conf_with_callback
from ringback_receiver.errors import ConfigurationError

URL = "https://portal.example/airflow/completions"


def test_callback_is_added_to_a_copy() -> None:
    """The caller's conf stays as it was."""
    conf = {"region": "APAC"}
    assert conf_with_callback(conf, url=URL, correlation_id="req_1") == {
        "region": "APAC",
        "callback": {"url": URL, "correlation_id": "req_1"},
    }
    assert conf == {"region": "APAC"}


def test_notifier_understands_it() -> None:
    """What is asked is what the protocol parses."""
    conf = conf_with_callback(None, url=URL, correlation_id="req_1", destination="portal", events=["started", "failed"])
    request = parse_callback_request(conf)
    assert request is not None
    assert (request.url, request.correlation_id, request.destination) == (URL, "req_1", "portal")
    assert request.events == ("started", "failed")


def test_one_event_may_be_a_plain_text() -> None:
    """A text is one event, not its letters."""
    conf = conf_with_callback(None, url=URL, correlation_id="req_1", events="failed")
    assert conf["callback"]["events"] == ["failed"]


@pytest.mark.parametrize("name", ["callback", "callback_url"])
def test_conf_that_asks_already_is_refused(name: str) -> None:
    """Nobody's callback is overwritten."""
    with pytest.raises(ValueError, match=f"already has '{name}'"):
        conf_with_callback({name: "https://other.example"}, url=URL, correlation_id="req_1")


def test_unknown_event_is_refused() -> None:
    """What the notifier would refuse never reaches Airflow."""
    with pytest.raises(CallbackRequestError, match=r"callback\.events"):
        conf_with_callback(None, url=URL, correlation_id="req_1", events=["ended"])


@pytest.mark.parametrize(
    ("url", "destination", "argument"),
    [("ftp://portal.example", None, "callback_url"), (URL, "two words", "destination")],
)
def test_wrong_argument_is_named(url: str, destination: str | None, argument: str) -> None:
    """The error speaks of the receiver's argument, not of a conf that nobody wrote."""
    with pytest.raises(ConfigurationError, match=f"^{argument}: "):
        check_callback(url, destination)
