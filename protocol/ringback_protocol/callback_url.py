"""A callback URL taken apart, once and strictly: what is allowed and what is dialled come from the same parts.

It comes from whoever may trigger a run.  RFC 3986 lets two parsers read two hosts out of one text; so what is
taken here is only what every parser reads alike.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from ringback_protocol.errors import CallbackUrlError

__all__ = ["MAX_URL_CHARS", "CallbackUrl", "parse_callback_url"]

MAX_URL_CHARS = 2_048

_PORTS = {"https": 443, "http": 80}
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_PARTS = re.compile(r"(?P<authority>[^/?]*)(?P<path>[^?]*)(?P<query>(?:\?.*)?)")
_AUTHORITY = re.compile(r"(?P<host>[^\[\]:]*|\[[^\[\]]*\])(?::(?P<port>[^\[\]]*))?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # WHATWG URL, "ends in a number": such a host is an IPv4 address
_IPV6 = re.compile(r"\[[0-9a-f:.]+\]")
_MAX_HOST_CHARS = 253


class CallbackUrl(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a callback URL.

    :param scheme: ``https`` or ``http``.
    :param host: in lower case; an IPv6 address without brackets and in its shortest form.
    :param target: path and query, byte for byte as they were written.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The address, if the host is one rather than a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def explicit_port(self) -> int | None:
        """The port, unless it is the one that the scheme implies."""
        return None if self.port == _PORTS[self.scheme] else self.port

    @property
    def authority(self) -> str:
        """Host and port as a ``Host`` header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.explicit_port is None else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"


def parse_callback_url(text: object) -> CallbackUrl:
    """Take a callback URL apart.

    :raises CallbackUrlError: saying what is wrong with it, and showing nothing of it.
    """
    if not isinstance(text, str):
        raise CallbackUrlError(f"must be a text, not {'null' if text is None else type(text).__name__}")
    if len(text) > MAX_URL_CHARS:
        raise CallbackUrlError(f"{len(text)} characters; at most {MAX_URL_CHARS} are allowed")
    if not _VISIBLE_ASCII.fullmatch(text):
        raise CallbackUrlError("must be visible ASCII without spaces (punycode the host, percent-encode the path)")
    if "\\" in text:
        raise CallbackUrlError("must not contain a backslash; percent-encode it as %5C")
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise CallbackUrlError("must start with https:// (or http://, where the operator allows it)")
    if "#" in rest:
        raise CallbackUrlError("must not have a fragment (#…)")
    parts = _PARTS.fullmatch(rest)
    assert parts is not None  # it matches every text without a line break
    if "@" in parts["authority"]:
        raise CallbackUrlError("must not contain credentials: conf is readable by everybody")
    host, port = _authority(parts["authority"].lower())
    return CallbackUrl(
        scheme=scheme,
        host=host,
        port=_PORTS[scheme] if port is None else port,
        target=(parts["path"] or "/") + parts["query"],
    )


def _authority(text: str) -> tuple[str, int | None]:
    parts = _AUTHORITY.fullmatch(text)
    if parts is None:
        raise CallbackUrlError("has a host that is neither a DNS name nor an IP address")
    if not parts["host"]:
        raise CallbackUrlError("has no host")
    host = _ipv6(parts["host"]) if parts["host"].startswith("[") else _name_or_ipv4(parts["host"])
    return host, _port(parts["port"])


def _port(text: str | None) -> int | None:
    if not text:  # "https://portal.example:/" is a URL, too (RFC 3986, section 3.2.3)
        return None
    if text == "0":
        raise CallbackUrlError("port 0 cannot be dialled")
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise CallbackUrlError("has a port that is no number from 1 to 65535")
    return int(text)


def _ipv6(text: str) -> str:
    try:
        if _IPV6.fullmatch(text):
            return str(IPv6Address(text[1:-1]))
    except ValueError:
        pass
    raise CallbackUrlError("has brackets around what is no IPv6 address (scope ids are not taken either)")


def _name_or_ipv4(text: str) -> str:
    if text.endswith("."):
        raise CallbackUrlError("has a host that ends with a dot")
    labels = text.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(text))  # which takes four decimal numbers without leading zeros, and nothing else
        except ValueError:
            raise CallbackUrlError(
                "has a host that ends in a number, but is no IPv4 address such as 192.0.2.1"
            ) from None
    if len(text) > _MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise CallbackUrlError("has a host that is neither a DNS name nor an IP address")
    if not all(_is_punycode(label[4:]) for label in labels if label.startswith("xn--")):
        raise CallbackUrlError("has a host with malformed punycode (xn--…)")
    return text


def _is_punycode(text: str) -> bool:
    """Tell whether this stands for a label that needs punycode, and is its only spelling (RFC 3492)."""
    try:
        label = text.encode("ascii").decode("punycode")
        return not label.isascii() and label.encode("punycode").decode("ascii") == text
    except (UnicodeError, ValueError, OverflowError):
        return False
