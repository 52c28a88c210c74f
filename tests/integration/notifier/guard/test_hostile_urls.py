"""Nothing that an attacker writes into conf, or says by DNS, makes Airflow connect where it may not."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from hostile_urls import ADDRESSES, NAMES, TEXTS

from ringback_notifier._addresses import AddressRules
from ringback_notifier._policy import Answer, NoAnswer
from ringback_protocol import CallbackRequestError, parse_callback_request

NO_EXCEPTIONS = AddressRules()


@pytest.fixture
def tripwire(serve: Any) -> Any:
    """A server on the loopback that would take every event."""
    return serve(lambda peer: peer.answer())


def test_there_are_enough_of_them() -> None:
    """At least a hundred and fifty URLs, each of them another."""
    assert len(set(ADDRESSES) | set(NAMES) | set(TEXTS)) >= 150


def test_an_allowed_address_is_dialled(attempt: Any, tripwire: Any, delivery: Any, dns: Any, dialled: Any) -> None:
    """The wires are live: what the operator allows gets through, by name as well as by address."""
    dns.names["portal.example"] = [["127.0.0.1"]]
    for host in ("127.0.0.1", "portal.example"):
        assert attempt(delivery(tripwire.url(host))) == Answer(status=204)
    assert dialled == [("127.0.0.1", tripwire.port)] * 2
    assert tripwire.hits == 2


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_forbidden_address_is_not_dialled(
    attempt: Any, tripwire: Any, delivery: Any, dns: Any, dialled: Any, address: str
) -> None:
    """Neither as it is nor behind a name, and no matter how often it is tried."""
    dns.names["evil.example"] = [[address]]
    for host in (f"[{address}]" if ":" in address else address, "evil.example"):
        for scheme in ("http", "https"):
            url = f"{scheme}://{host}:{tripwire.port}/"
            outcome = attempt(delivery(url, addresses=NO_EXCEPTIONS))
            assert isinstance(outcome, NoAnswer)
            assert outcome.error.startswith("address: nothing was sent to ")
    assert dialled == []
    assert tripwire.hits == 0


@pytest.mark.parametrize("name", NAMES)
def test_one_forbidden_address_among_others_is_enough(
    attempt: Any, tripwire: Any, delivery: Any, dns: Any, dialled: Any, name: str
) -> None:
    """Not even the address that is allowed is dialled."""
    dns.names[name] = [NAMES[name]]
    outcome = attempt(delivery(f"http://{name}:{tripwire.port}/", addresses=NO_EXCEPTIONS))
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("address: " if NAMES[name] else ("connect: ", "connection: "))
    assert dialled == []
    assert tripwire.hits == 0


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_text_that_can_be_read_in_two_ways_is_not_dialled(
    attempt: Any, tripwire: Any, delivery: Any, dialled: Any, text: str
) -> None:
    """It is refused in conf, and again by whatever sends."""
    url = text.replace("{port}", str(tripwire.port))
    with pytest.raises(CallbackRequestError):
        parse_callback_request({"callback": {"url": url}})
    outcome = attempt(delivery(url, body=b"{}"))
    assert isinstance(outcome, NoAnswer)
    assert outcome.error.startswith("protocol: ")
    assert dialled == []
    assert tripwire.hits == 0


def test_a_name_that_changes_its_mind_wins_nothing(
    attempt: Any, tripwire: Any, delivery: Any, dns: Any, dialled: Any
) -> None:
    """It is resolved once for an attempt: what was judged is what is dialled, and the next attempt judges anew."""
    allowed = AddressRules(networks=(ip_network("127.0.0.2/32"),))
    dns.names["rebind.example"] = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.2"]]
    url = tripwire.url("rebind.example")
    outcomes = [attempt(delivery(url, addresses=allowed)) for _ in range(4)]
    assert dns.asked == ["rebind.example"] * 4
    assert dialled == [("127.0.0.2", tripwire.port)] * 2  # the server listens on 127.0.0.1 alone: nobody is there
    assert [isinstance(outcome, NoAnswer) and outcome.error.startswith("address: ") for outcome in outcomes] == [
        False,
        True,
        True,
        False,
    ]
    assert tripwire.hits == 0
