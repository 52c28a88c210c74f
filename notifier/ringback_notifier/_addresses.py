"""Which addresses an event may be sent to.  Pure.

Every answer of the resolver is judged, and what is judged is what is connected to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeVar

from ringback_notifier._address_table import (
    GLOBAL_UNICAST,
    INTERNAL,
    IPV4_WITHIN,
    METADATA,
    SPECIAL_IPV4,
    SPECIAL_IPV6,
)
from ringback_notifier._allow import covers

__all__ = ["Address", "AddressRules", "Network", "Verdict", "kind_of"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_N = TypeVar("_N", IPv4Network, IPv6Network, Network)
_NOT_COMPATIBLE = frozenset({IPv6Address("::"), IPv6Address("::1")})


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is thought of an address.

    :param allowed: whether it may be connected to.
    :param kind: what is special about it, such as ``private use``, or ``None``.
    :param because: which of the operator's exceptions allows it in spite of that, or ``None``.
    :param curable: whether an exception is anything to suggest.
    """

    allowed: bool
    kind: str | None = None
    because: str | None = None
    curable: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class AddressRules:
    """The operator's exceptions from the rule that events go to public addresses only.

    :param networks: allowed whatever they are; a metadata service only if the network is that one address.
    :param hosts: names, or ``*.`` and a name, whose addresses may be internal ones.
    :param literals: addresses that the allow-list spells out as hosts; they may be internal ones, too.
    """

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = field(default_factory=frozenset)
    literals: frozenset[Address] = field(default_factory=frozenset)

    def judge(self, host: str, answer: str) -> Verdict:
        """Judge one answer of the resolver.

        :param host: that was asked for, in lower case.
        :param answer: as text; whatever is no address is refused.
        """
        try:
            address = ip_address(answer)
        except ValueError:
            return Verdict(allowed=False, kind="no address", curable=False)
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            return Verdict(allowed=False, kind="of one link only", curable=False)
        kind = kind_of(address)
        if kind is None:
            return Verdict(allowed=True)
        forms = (address, *_within(address))
        metadata = any(form in METADATA for form in forms)
        because = self._exception(host, forms, metadata)
        return Verdict(allowed=because is not None, kind=kind, because=because, curable=not metadata)

    def _exception(self, host: str, forms: tuple[Address, ...], metadata: bool) -> str | None:
        for network in self.networks:
            if any(form in network for form in forms) and not (metadata and network.num_addresses > 1):
                return f"allow_networks {network}"
        if metadata or _first(INTERNAL, forms[-1]) is None:
            return None
        if forms[0] in self.literals and host == str(forms[0]):
            return "its address in allow"
        return next((f"allow_hosts {name}" for name in sorted(self.hosts) if covers(name, host)), None)


def kind_of(address: Address) -> str | None:
    """Tell what is special about an address, or ``None`` if it is an ordinary public one.

    :param address: without a scope id.
    """
    provider = METADATA.get(address)
    if provider is not None:
        return f"metadata service of {provider}"
    if isinstance(address, IPv4Address):
        return _first(INTERNAL, address) or _first(SPECIAL_IPV4, address)
    internal = _first(INTERNAL, address)
    if internal is not None:
        return internal
    if address in GLOBAL_UNICAST:
        return _first(SPECIAL_IPV6, address)
    inner = _within(address)
    if not inner:
        return "not global unicast"
    kind = kind_of(inner[0])
    return None if kind is None else f"{_first(IPV4_WITHIN, address)}, {kind}"


def _within(address: Address) -> tuple[Address, ...]:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv6Address) and address not in _NOT_COMPATIBLE and _first(IPV4_WITHIN, address):
        return (IPv4Address(int(address) & 0xFFFF_FFFF),)
    return ()


def _first(table: Mapping[_N, str], address: Address) -> str | None:
    return next((name for network, name in table.items() if address in network), None)
