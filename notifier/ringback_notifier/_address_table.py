"""Which blocks of addresses are no place for an event, and why.

``ipaddress.is_global`` is no help: it lets multicast, 192.88.99.1, 168.63.129.16, 64:ff9b::a00:1, fec0::1 and more
through, and it answers differently from one version of Python to the next.

Sources: IANA's special-purpose registries of IPv4 and IPv6 addresses, of multicast and of IPv6 global unicast
addresses, as of July 2026; the providers' own pages for their metadata services.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["GLOBAL_UNICAST", "INTERNAL", "IPV4_WITHIN", "METADATA", "SPECIAL_IPV4", "SPECIAL_IPV6"]

METADATA: dict[IPv4Address | IPv6Address, str] = {
    IPv4Address("169.254.169.254"): "AWS, Azure, Google Cloud, Oracle Cloud, DigitalOcean, IBM, OpenStack",
    IPv4Address("169.254.170.2"): "AWS ECS",
    IPv4Address("169.254.170.23"): "AWS EKS",
    IPv4Address("169.254.169.253"): "AWS DNS",
    IPv4Address("169.254.169.123"): "AWS time",
    IPv4Address("169.254.169.250"): "AWS Windows activation",
    IPv4Address("169.254.169.252"): "Google Kubernetes Engine",
    IPv4Address("169.254.169.255"): "Linode",
    IPv4Address("169.254.42.42"): "Scaleway",
    IPv4Address("169.254.0.23"): "Tencent Cloud",
    IPv4Address("168.63.129.16"): "Azure",  # a public address, answered by the host below the virtual machine
    IPv4Address("100.100.100.200"): "Alibaba Cloud",
    IPv4Address("192.0.0.192"): "Oracle Cloud",
    IPv6Address("fd00:ec2::254"): "AWS",
    IPv6Address("fd00:ec2::253"): "AWS DNS",
    IPv6Address("fd00:ec2::23"): "AWS EKS",
    IPv6Address("fd00:ec2::123"): "AWS time",
    IPv6Address("fd00:c1::a9fe:a9fe"): "Oracle Cloud",
    IPv6Address("fd00:100::100:200"): "Alibaba Cloud",
    IPv6Address("fd20:ce::254"): "Google Cloud",
    IPv6Address("fd00:42::42"): "Scaleway",
    IPv6Address("fd00:a9fe:a9fe::1"): "Linode",
    IPv6Address("fe80::a9fe:a9fe"): "OpenStack",
}
"""Where the cloud tells a machine its secrets.  The provider, by address."""

INTERNAL: dict[IPv4Network | IPv6Network, str] = {
    IPv4Network("10.0.0.0/8"): "private use",
    IPv4Network("100.64.0.0/10"): "shared address space",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("172.16.0.0/12"): "private use",
    IPv4Network("192.168.0.0/16"): "private use",
    IPv6Network("::1/128"): "loopback",
    IPv6Network("fc00::/7"): "unique local",
}
"""Where an operator may well have a receiver."""

SPECIAL_IPV4: dict[IPv4Network, str] = {
    IPv4Network("0.0.0.0/8"): "this network",
    IPv4Network("169.254.0.0/16"): "link local",
    IPv4Network("192.0.0.0/24"): "protocol assignments",
    IPv4Network("192.0.2.0/24"): "documentation",
    IPv4Network("192.31.196.0/24"): "AS112",
    IPv4Network("192.52.193.0/24"): "AMT",
    IPv4Network("192.88.99.0/24"): "6to4 relays",
    IPv4Network("192.175.48.0/24"): "AS112",
    IPv4Network("198.18.0.0/15"): "benchmarking",
    IPv4Network("198.51.100.0/24"): "documentation",
    IPv4Network("203.0.113.0/24"): "documentation",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved",
}

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that IANA gives out: whatever is outside of it is not the internet (RFC 4291, section 2.4)."""

SPECIAL_IPV6: dict[IPv6Network, str] = {
    IPv6Network("2001::/23"): "protocol assignments, Teredo among them",
    IPv6Network("2001:db8::/32"): "documentation",
    IPv6Network("2002::/16"): "6to4",
    IPv6Network("2620:4f:8000::/48"): "AS112",
    IPv6Network("3ffe::/16"): "6bone",
    IPv6Network("3fff::/20"): "documentation",
}
"""Blocks within :data:`GLOBAL_UNICAST`."""

IPV4_WITHIN: dict[IPv6Network, str] = {
    IPv6Network("::ffff:0:0/96"): "IPv4-mapped",  # RFC 4291, section 2.5.5.2
    IPv6Network("::/96"): "IPv4-compatible",  # RFC 4291, section 2.5.5.1
    IPv6Network("::ffff:0:0:0/96"): "IPv4-translated",  # RFC 2765 (SIIT), section 2.1
    IPv6Network("64:ff9b::/96"): "NAT64",  # RFC 6052, section 2.1
}
"""Forms whose last 32 bits are the IPv4 address that is reached."""
