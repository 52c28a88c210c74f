"""The operator's exceptions, as a connection's extra writes them: internal receivers, and a proxy as the way out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote_to_bytes

from ringback_notifier._addresses import Address, AddressRules, Network
from ringback_notifier._allow import AllowPattern
from ringback_notifier.errors import DestinationError
from ringback_protocol import CallbackUrlError, parse_callback_url

__all__ = ["EgressProxy", "parse_address_rules", "parse_egress_proxy"]

_PROXY = re.compile(r"(?P<scheme>http://)(?:(?P<user>[^/?#@:]*)(?::(?P<password>[^/?#@]*))?@)?(?P<rest>[^/?#@]+)/?")


@dataclass(frozen=True, kw_only=True, slots=True)
class EgressProxy:
    """An HTTP proxy, itself spoken to without TLS: ``CONNECT`` for https, the whole URL for http.

    :param url: without credentials.
    :param auth: user and password for ``Proxy-Authorization: Basic``, or ``None``.
    """

    url: str
    auth: tuple[bytes, bytes] | None = field(default=None, repr=False)


def parse_address_rules(networks: object, hosts: object, allow: Iterable[AllowPattern]) -> AddressRules:
    """Read ``allow_networks`` and ``allow_hosts``.

    :param allow: a host in it that is an address counts as allowed.
    :raises DestinationError: naming the member and what is wrong.
    """
    return AddressRules(
        networks=tuple(_network(text) for text in _texts(networks, "allow_networks", "10.0.0.0/8")),
        hosts=frozenset(_host(text) for text in _texts(hosts, "allow_hosts", "portal.corp.example")),
        literals=frozenset(_literals(allow)),
    )


def parse_egress_proxy(text: object) -> EgressProxy | None:
    """Read ``egress_proxy``.

    :raises DestinationError: without showing it, since it may hold a password.
    """
    if text is None:
        return None
    parts = _PROXY.fullmatch(text) if isinstance(text, str) else None
    try:
        if parts is None:
            raise ValueError
        url = parse_callback_url(parts["scheme"] + parts["rest"])
        user, password = parts["user"], parts["password"]
        auth = None if user is None else (unquote_to_bytes(user), unquote_to_bytes(password or ""))
    except ValueError:
        raise DestinationError(
            "egress_proxy must be a URL such as http://proxy.example:3128, without a path, and with any special "
            "characters of user and password percent-encoded; proxies that are spoken to in TLS are not supported"
        ) from None
    return EgressProxy(url=url.origin, auth=auth)


def _texts(value: object, member: str, example: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise DestinationError(f'{member} must be a list of texts such as ["{example}"]')
    return values


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise DestinationError(
            f"allow_networks: {text!r} is no network; write it as 10.0.0.0/8, or one address as 10.1.2.3"
        ) from None
    raise DestinationError(f"allow_networks: {text!r} has bits set behind its prefix; did you mean {meant}?")


def _host(text: str) -> str:
    name = text.removeprefix("*.")
    try:
        url = parse_callback_url(f"https://{name}")
    except CallbackUrlError:
        url = None
    if url is None or url.host != name.lower() or url.address is not None:
        raise DestinationError(
            f"allow_hosts: {text!r} is no host name; write it as portal.corp.example or *.corp.example, and put "
            "addresses into allow_networks"
        )
    return text.lower()


def _literals(allow: Iterable[AllowPattern]) -> Iterable[Address]:
    for pattern in allow:
        try:
            yield ip_address(pattern.host)
        except ValueError:
            continue
