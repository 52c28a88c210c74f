"""Which addresses events may be sent to, and which exceptions an operator can make."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
import ssrfguard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringback_notifier._address_table import GLOBAL_UNICAST, INTERNAL, IPV4_WITHIN, METADATA, SPECIAL_IPV4, SPECIAL_IPV6
from ringback_notifier._addresses import AddressRules, kind_of

PLAIN = AddressRules()

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "3ffd::1",
    "::ffff:8.8.8.8",
    "::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

SPECIAL = {
    "0.0.0.0": "this network",
    "0.255.255.255": "this network",
    "10.0.0.0": "private use",
    "10.255.255.255": "private use",
    "100.64.0.0": "shared address space",
    "100.127.255.255": "shared address space",
    "127.0.0.1": "loopback",
    "127.255.255.255": "loopback",
    "169.254.0.0": "link local",
    "169.254.255.255": "link local",
    "172.16.0.0": "private use",
    "172.31.255.255": "private use",
    "192.0.0.9": "protocol assignments",
    "192.0.2.1": "documentation",
    "192.31.196.1": "AS112",
    "192.52.193.1": "AMT",
    "192.88.99.1": "6to4 relays",
    "192.175.48.1": "AS112",
    "192.168.0.0": "private use",
    "192.168.255.255": "private use",
    "198.18.0.0": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.255": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.0": "reserved",
    "255.255.255.255": "reserved",
    "::": "not global unicast",
    "::1": "loopback",
    "::2": "IPv4-compatible, this network",
    "::127.0.0.1": "IPv4-compatible, loopback",
    "::ffff:127.0.0.1": "IPv4-mapped, loopback",
    "::ffff:0:127.0.0.1": "IPv4-translated, loopback",
    "64:ff9b::127.0.0.1": "NAT64, loopback",
    "64:ff9b::10.0.0.1": "NAT64, private use",
    "::ffff:169.254.169.254": "IPv4-mapped, metadata service of AWS, Azure",
    "64:ff9b::168.63.129.16": "NAT64, metadata service of Azure",
    "64:ff9b:1::8.8.8.8": "not global unicast",
    "100::1": "not global unicast",
    "1fff:ffff::1": "not global unicast",
    "2001::1": "protocol assignments, Teredo among them",
    "2001:1ff::1": "protocol assignments, Teredo among them",
    "2001:db8::1": "documentation",
    "2002:7f00:1::": "6to4",
    "2002:808:808::": "6to4",
    "2620:4f:8000::1": "AS112",
    "3ffe::1": "6bone",
    "3fff::1": "documentation",
    "3fff:fff:ffff::": "documentation",
    "4000::": "not global unicast",
    "5f00::1": "not global unicast",
    "fc00::1": "unique local",
    "fdff:ffff::": "unique local",
    "fe80::1": "not global unicast",
    "fec0::1": "not global unicast",
    "ff02::1": "not global unicast",
    "169.254.169.254": "metadata service of AWS, Azure",
    "168.63.129.16": "metadata service of Azure",
    "100.100.100.200": "metadata service of Alibaba Cloud",
    "192.0.0.192": "metadata service of Oracle Cloud",
    "fd00:ec2::254": "metadata service of AWS",
    "fd20:ce::254": "metadata service of Google Cloud",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    """Also in the forms that stand for an IPv4 address."""
    verdict = PLAIN.judge("portal.example", address)
    assert (verdict.allowed, verdict.kind, verdict.because) == (True, None, None)


@pytest.mark.parametrize(("address", "kind"), SPECIAL.items())
def test_any_other_address_is_refused_with_what_it_is(address: str, kind: str) -> None:
    """The operator reads what the name led to."""
    verdict = PLAIN.judge("portal.example", address)
    assert not verdict.allowed
    assert (verdict.kind or "").startswith(kind)
    assert verdict.curable == ("metadata" not in kind)


@pytest.mark.parametrize("answer", ["fe80::1%eth0", "2606:4700::1%1", "localhost", "", "127.1", "1.1.1.1\n", "0x7f.1"])
def test_what_is_no_plain_address_is_refused(answer: str) -> None:
    """A scope id, or whatever else a resolver may say."""
    everything = AddressRules(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert not everything.judge("portal.example", answer).allowed


RULES = AddressRules(
    networks=(ip_network("10.1.0.0/16"), ip_network("fd12::/16"), ip_network("100.64.0.0/10"), ip_network("fd00::/8")),
    hosts=frozenset({"portal.corp.example", "*.internal.example"}),
    literals=frozenset({ip_address("192.168.7.7"), ip_address("fd99::7"), ip_address("169.254.9.9")}),
)


@pytest.mark.parametrize(
    ("host", "answer", "because"),
    [
        ("portal.example", "10.1.2.3", "allow_networks 10.1.0.0/16"),
        ("portal.example", "::ffff:10.1.2.3", "allow_networks 10.1.0.0/16"),
        ("portal.example", "64:ff9b::10.1.2.3", "allow_networks 10.1.0.0/16"),
        ("portal.example", "fd12::1", "allow_networks fd12::/16"),
        ("portal.example", "10.2.0.1", None),
        ("portal.corp.example", "10.2.0.1", "allow_hosts portal.corp.example"),
        ("portal.corp.example", "127.0.0.1", "allow_hosts portal.corp.example"),
        ("portal.corp.example", "::1", "allow_hosts portal.corp.example"),
        ("portal.corp.example", "::ffff:192.168.0.1", "allow_hosts portal.corp.example"),
        ("a.portal.corp.example", "10.2.0.1", None),
        ("a.internal.example", "172.16.0.1", "allow_hosts *.internal.example"),
        ("a.b.internal.example", "172.16.0.1", "allow_hosts *.internal.example"),
        ("internal.example", "172.16.0.1", None),
        ("evilinternal.example", "172.16.0.1", None),
        # a host in allow_hosts may be internal, and nothing worse
        ("portal.corp.example", "169.254.1.1", None),
        ("portal.corp.example", "0.0.0.0", None),
        ("portal.corp.example", "224.0.0.1", None),
        ("portal.corp.example", "fe80::1", None),
        # an address that allow spells out, when the URL does so, too
        ("192.168.7.7", "192.168.7.7", "its address in allow"),
        ("fd99::7", "fd99::7", "allow_networks fd00::/8"),
        ("portal.example", "192.168.7.7", None),
        ("192.168.7.8", "192.168.7.8", None),
        ("169.254.9.9", "169.254.9.9", None),
        # metadata services inside of what is allowed
        ("portal.example", "100.100.100.100", "allow_networks 100.64.0.0/10"),
        ("portal.example", "100.100.100.200", None),
        ("portal.corp.example", "100.100.100.200", None),
        ("portal.corp.example", "fd00:ec2::254", None),
    ],
)
def test_exceptions_reach_as_far_as_they_say(host: str, answer: str, because: str | None) -> None:
    """A network covers addresses, a host its own internal ones, and neither opens a metadata service by the way."""
    verdict = RULES.judge(host, answer)
    assert (verdict.allowed, verdict.because) == (because is not None, because)


SERVICES = (
    "169.254.169.254 169.254.169.253 169.254.169.252 169.254.169.250 169.254.169.123 169.254.169.255 169.254.170.2 "
    "169.254.170.23 169.254.42.42 169.254.0.23 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd00:ec2::253 "
    "fd00:ec2::123 fd00:ec2::23 fd00:c1::a9fe:a9fe fd00:100::100:200 fd20:ce::254 fd00:42::42 fd00:a9fe:a9fe::1 "
    "fe80::a9fe:a9fe"
)


def test_every_metadata_service_is_known() -> None:
    """The list is spelled out twice, so that none is lost by accident."""
    assert {str(address) for address in METADATA} == set(SERVICES.split())


@pytest.mark.parametrize("text", SERVICES.split())
def test_a_metadata_service_must_be_named_by_its_one_address(text: str) -> None:
    """All of the internet, all of link-local, a name and a literal do not include it."""
    address = ip_address(text)
    wide = AddressRules(
        networks=(ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network("169.254.0.0/16"), ip_network("fd00::/8")),
        hosts=frozenset({"portal.example"}),
        literals=frozenset({address}),
    )
    for host in ("portal.example", text):
        assert not wide.judge(host, text).allowed
    named = AddressRules(networks=(ip_network(f"{text}/{address.max_prefixlen}"),))
    assert named.judge("portal.example", text).allowed


def boundaries() -> list[IPv4Address | IPv6Address]:
    """Return the first and last address of every block that anybody's table knows, and their neighbours."""
    theirs = [block.network for block in ssrfguard.DEFAULT_DENIED.blocks]
    blocks = [*theirs, *INTERNAL, *SPECIAL_IPV4, *SPECIAL_IPV6, *IPV4_WITHIN]
    blocks += [ip_network(f"{address}/{address.max_prefixlen}") for address in METADATA]
    blocks += [
        ip_network((int(within.network_address) + int(block.network_address), 96 + block.prefixlen))
        for within in IPV4_WITHIN
        for block in (*INTERNAL, *SPECIAL_IPV4)
        if isinstance(block, IPv4Network)
    ]
    found: set[IPv4Address | IPv6Address] = set()
    for block in blocks:
        kind = IPv4Address if isinstance(block, IPv4Network) else IPv6Address
        most = 2**block.max_prefixlen
        for edge in (int(block.network_address), int(block.broadcast_address)):
            found |= {kind(number) for number in range(max(edge - 1, 0), min(edge + 2, most))}
    return sorted(found, key=lambda address: (address.version, int(address)))


def never_looser(address: IPv4Address | IPv6Address) -> None:
    if kind_of(address) is None:
        assert not ssrfguard.DEFAULT_DENIED.classify(address).blocked, address
        assert not address.is_multicast
        assert not address.is_loopback
        assert not address.is_unspecified


def test_at_every_boundary_the_rule_is_not_looser_than_another_library() -> None:
    """Some hundred blocks, each with the addresses just inside and just outside."""
    addresses = boundaries()
    assert len(addresses) > 300
    for address in addresses:
        never_looser(address)


@given(
    st.ip_addresses(v=4)
    | st.ip_addresses(v=6)
    | st.builds(
        lambda within, inner: IPv6Address(int(within.network_address) + int(inner)),
        st.sampled_from(sorted(IPV4_WITHIN, key=str)),
        st.ip_addresses(v=4),
    )
    | st.builds(
        lambda block, share: type(block.network_address)(
            int(block.network_address) + int(share * (block.num_addresses - 1))
        ),
        st.sampled_from([*INTERNAL, *SPECIAL_IPV4, *SPECIAL_IPV6, IPv6Network("2000::/3"), IPv6Network("2001::/16")]),
        st.floats(0, 1),
    )
)
@example(IPv4Address("192.0.0.9"))
@settings(max_examples=2_000, deadline=None)
def test_at_random_the_rule_is_not_looser_than_another_library(address: IPv4Address | IPv6Address) -> None:
    """Any address, and more of those that are special."""
    never_looser(address)


def test_no_block_of_the_table_is_dead() -> None:
    """None lies within another, and of IPv6 only global unicast has special blocks: all else is refused anyway."""
    for table in ([*INTERNAL, *SPECIAL_IPV4], SPECIAL_IPV6):
        blocks = list(table)
        for one in blocks:
            assert not any(
                one is not other and one.version == other.version and one.overlaps(other) for other in blocks
            )
    assert all(block.subnet_of(GLOBAL_UNICAST) for block in SPECIAL_IPV6)
