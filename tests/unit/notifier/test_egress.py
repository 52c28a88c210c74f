"""The operator's exceptions in a connection's extra."""

from __future__ import annotations

import logging
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from notifier_samples import destination

from ringback_notifier import _guard
from ringback_notifier._addresses import AddressRules
from ringback_notifier._egress import EgressProxy
from ringback_notifier._guard import Guard, admit_all
from ringback_notifier.errors import AddressRefused, DestinationError, NotAllowedError


def test_exceptions_are_read() -> None:
    """Networks and hosts, one or many; an address in ``allow`` counts by itself."""
    read = destination(
        {
            "allow": ["https://portal.example/", "http://10.9.9.9:8080/", "http://[fd00::7]/"],
            "allow_networks": ["10.0.0.0/8", "192.168.1.1", "fd12::/16"],
            "allow_hosts": ["Portal.Corp.Example", "*.internal.example", "localhost"],
        }
    )
    assert read.addresses == AddressRules(
        networks=(ip_network("10.0.0.0/8"), ip_network("192.168.1.1/32"), ip_network("fd12::/16")),
        hosts=frozenset({"portal.corp.example", "*.internal.example", "localhost"}),
        literals=frozenset({ip_address("10.9.9.9"), ip_address("fd00::7")}),
    )
    single = destination({"allow_networks": "10.0.0.0/8", "allow_hosts": "portal.corp.example"}).addresses
    assert (single.networks, single.hosts) == ((ip_network("10.0.0.0/8"),), frozenset({"portal.corp.example"}))


@pytest.mark.parametrize(
    ("text", "url", "auth"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None),
        ("http://proxy.example/", "http://proxy.example", None),
        ("http://10.0.0.1:3129", "http://10.0.0.1:3129", None),
        ("http://ann:%FF@proxy.example:3128", "http://proxy.example:3128", (b"ann", b"\xff")),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128", None),
        ("http://ann:h%40sh@proxy.example:3128", "http://proxy.example:3128", (b"ann", b"h@sh")),
        ("http://ann@proxy.example:3128", "http://proxy.example:3128", (b"ann", b"")),
    ],
)
def test_a_proxy_is_read(text: str, url: str, auth: tuple[bytes, bytes] | None) -> None:
    """Its credentials are apart from its address, and in no representation."""
    read = destination({"egress_proxy": text})
    assert read.egress_proxy == EgressProxy(url=url, auth=auth)
    assert "h@sh" not in repr(read)
    assert "h%40sh" not in repr(read)


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"allow_networks": 10}, 'allow_networks must be a list of texts such as ["10.0.0.0/8"]'),
        ({"allow_networks": [10]}, "allow_networks must be a list of texts"),
        ({"allow_networks": ["10.0.0.1/8"]}, "'10.0.0.1/8' has bits set behind its prefix; did you mean 10.0.0.0/8?"),
        ({"allow_networks": ["10.x"]}, "allow_networks: '10.x' is no network; write it as 10.0.0.0/8"),
        ({"allow_networks": ["portal.example"]}, "allow_networks: 'portal.example' is no network"),
        ({"allow_hosts": {}}, 'allow_hosts must be a list of texts such as ["portal.corp.example"]'),
        ({"allow_hosts": ["10.0.0.1"]}, "allow_hosts: '10.0.0.1' is no host name"),
        ({"allow_hosts": ["portal.example:8080"]}, "allow_hosts: 'portal.example:8080' is no host name"),
        ({"allow_hosts": ["https://portal.example/"]}, "allow_hosts: 'https://portal.example/' is no host name"),
        ({"allow_hosts": ["*"]}, "allow_hosts: '*' is no host name"),
        ({"allow_hosts": ["*.*.example"]}, "allow_hosts: '*.*.example' is no host name"),
        ({"egress_proxy": 7}, "egress_proxy must be a URL such as http://proxy.example:3128"),
        ({"egress_proxy": "proxy.example:3128"}, "egress_proxy must be a URL"),
        ({"egress_proxy": "https://proxy.example:3129"}, "proxies that are spoken to in TLS are not supported"),
        ({"egress_proxy": "http://ann:\ud800@proxy.example:3128"}, "egress_proxy must be a URL"),
        ({"egress_proxy": "socks5://proxy.example:1080"}, "egress_proxy must be a URL"),
        ({"egress_proxy": "http://ann:h-u-s-h@/"}, "egress_proxy must be a URL"),
        ({"egress_proxy": "http://ann:h-u-s-h@proxy.example/path"}, "egress_proxy must be a URL"),
        ({"egress_proxy": "http://ann:h-u-s-h@proxy.example:99999"}, "egress_proxy must be a URL"),
        ({"allow": ["https://ann:h-u-s-h@portal.example/"]}, "allow: a URL with credentials is no pattern"),
        ({"allow": ["https://*.0.0.1/"]}, "allow: 'https://*.0.0.1/' is no pattern"),
        ({"allow": ["https://*.10.0.0.1/"]}, "there is nothing below an address"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_member(extra: dict[str, Any], problem: str) -> None:
    """The mend is in the message, a secret is not."""
    with pytest.raises(DestinationError) as caught:
        destination(extra)
    message = str(caught.value)
    assert message.startswith("connection ringback_portal: extra: ") or message.startswith("connection ringback_")
    assert problem in message
    assert "h-u-s-h" not in message


def guard(**rules: Any) -> Guard:
    return Guard(rules=AddressRules(**rules), destination="portal")


def test_one_forbidden_address_condemns_all() -> None:
    """Whoever mixes them hopes that the wrong one is dialled."""
    with pytest.raises(AddressRefused) as caught:
        guard().admit("rebind.example", ["93.184.215.14", "10.0.0.7"])
    assert str(caught.value) == (
        "nothing was sent to rebind.example, which is 10.0.0.7 (private use): if events are meant to go there, add the "
        'address or its network to "allow_networks" in the extra of the Airflow connection ringback_portal'
    )


def test_nobody_is_told_how_to_open_a_metadata_service() -> None:
    """A message that says how is an invitation."""
    with pytest.raises(AddressRefused) as caught:
        guard().admit("evil.example", ["169.254.169.254"])
    assert str(caught.value).endswith("): events never go there")
    assert "allow_networks" not in str(caught.value)


def test_at_most_three_addresses_are_dialled_in_the_resolvers_order() -> None:
    """The fourth would not have time."""
    answers = ["93.184.215.14", "2606:4700::1111", "1.1.1.1", "8.8.8.8"]
    assert list(guard().admit("portal.example", answers)) == answers[:3]
    assert list(admit_all("proxy.example", answers)) == answers[:3]
    for admit in (guard().admit, admit_all):
        with pytest.raises(OSError, match=r"portal\.example has no address"):
            admit("portal.example", [])


def test_the_fourth_address_is_judged_all_the_same() -> None:
    """Every answer is checked, not only those that would be dialled."""
    with pytest.raises(AddressRefused):
        guard().admit("portal.example", ["93.184.215.14", "1.1.1.1", "8.8.8.8", "127.0.0.1"])


def test_an_exception_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """An operator can see in the log what went inside, and by which of his settings; not for every event."""
    caplog.set_level(logging.INFO, logger=_guard.__name__)
    _guard._told.clear()
    for _ in range(3):
        guard(networks=(ip_network("10.0.0.0/8"),)).admit("portal.corp.example", ["10.0.0.7"])
        guard(literals=frozenset({ip_address("10.0.0.8")})).admit("10.0.0.8", ["10.0.0.8"])
    assert caplog.messages == [
        "ringback: destination 'portal': portal.corp.example, which is 10.0.0.7 (private use), allowed by "
        "allow_networks 10.0.0.0/8",
        "ringback: destination 'portal': 10.0.0.8 (private use), allowed by its address in allow",
    ]


def test_what_was_told_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without number may lead inside."""
    monkeypatch.setattr(_guard, "_MOST_TOLD", 5)
    for number in range(20):
        guard(networks=(ip_network("10.0.0.0/8"),)).admit(f"host{number}.example", ["10.0.0.7"])
    assert len(_guard._told) <= 5


@pytest.mark.parametrize(
    ("allow", "url", "kind"),
    [
        (["http://169.254.169.254/"], "http://169.254.169.254/latest/meta-data/", "metadata service"),
        (["http://[fd00:ec2::254]/"], "http://[fd00:ec2::254]/", "metadata service"),
        (["http://[::ffff:169.254.169.254]/"], "http://[::ffff:a9fe:a9fe]/", "metadata service"),
        (["http://0.0.0.0/"], "http://0.0.0.0/", "this network"),
        (["http://169.254.1.1/"], "http://169.254.1.1/", "link local"),
        (["http://[fe80::1]/"], "http://[fe80::1]/", "not global unicast"),
    ],
)
def test_spelling_an_address_out_does_not_open_everything(allow: list[str], url: str, kind: str) -> None:
    """An internal receiver may be allowed by its address, nothing worse; no attempt is made."""
    with pytest.raises(NotAllowedError, match=kind):
        destination({"allow": allow}).check_allowed(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://169.254.169.254/", "events never go there"),
        ("http://169.254.1.1/", "allow_networks"),
        ("http://10.0.0.7/", 'add a pattern such as "http://10.0.0.7/" to "allow"'),
        ("https://portal.example./x", "the callback URL has a host that ends with a dot"),
    ],
)
def test_the_advice_is_one_that_helps(url: str, why: str) -> None:
    """Nobody is told to allow what would be refused all the same, or cannot be a pattern."""
    with pytest.raises(NotAllowedError) as caught:
        destination().check_allowed(url)
    assert why in str(caught.value)


def test_an_ipv6_address_is_not_asked_of_a_proxy() -> None:
    """Proxies read ``CONNECT`` with one in more than one way."""
    read = destination({"allow": ["https://[fd00::7]/"], "egress_proxy": "http://proxy.example:3128"})
    with pytest.raises(NotAllowedError, match="cannot be reached through egress_proxy"):
        read.check_allowed("https://[fd00::7]/x")


@pytest.mark.parametrize("url", ["http://10.0.0.7:8080/x", "http://[fd00::7]:8080/x", "http://127.0.0.1:8080/x"])
def test_an_internal_receiver_is_allowed_by_its_address(url: str) -> None:
    """One line for the common case."""
    destination({"allow": [url.rsplit("/", 1)[0] + "/"]}).check_allowed(url)
