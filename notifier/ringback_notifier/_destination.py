"""A destination: which keys sign, which URLs are allowed, how to connect.  Read from an Airflow connection."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ringback_notifier._addresses import Address, AddressRules
from ringback_notifier._allow import AllowPattern, allows, parse_pattern, redacted
from ringback_notifier._egress import EgressProxy, parse_address_rules, parse_egress_proxy
from ringback_notifier._guard import Guard
from ringback_notifier.errors import AddressRefused, DestinationError, NotAllowedError
from ringback_protocol import CallbackUrlError, KeyFormatError, SigningKey, parse_callback_url, parse_signing_keys

__all__ = ["CONNECTION_TYPE", "Destination", "connection_id", "parse_destination"]

CONNECTION_TYPE = "ringback"
CONTENT_TYPES = ("application/json", "application/cloudevents+json")

_KNOWN = (
    "allow",
    "allow_networks",
    "allow_hosts",
    "egress_proxy",
    "headers",
    "ca_bundle",
    "client_cert",
    "client_key",
    "content_type",
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"([\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?)?")  # section 5.5: no white space around it
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def connection_id(destination: str) -> str:
    """Return the id of the Airflow connection that holds a destination."""
    return f"ringback_{destination}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where events may go and how they are signed.

    :param keys: newest first.
    :param allow: no pattern, no delivery.
    :param addresses: exceptions from the rule that events go to public addresses only.
    :param egress_proxy: the way out, if it is not the direct one; the proxy resolves names then.
    :param headers: added to every request; may hold a bearer token, so never shown.
    :param ca_bundle: path of a PEM file with the only CAs to trust, or ``None`` for the system's.
    :param client_cert: path of a PEM certificate, with ``client_key`` if the key is in another file.
    """

    name: str
    keys: tuple[SigningKey, ...]
    allow: tuple[AllowPattern, ...]
    addresses: AddressRules = AddressRules()  # noqa: RUF009 - frozen
    egress_proxy: EgressProxy | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_bundle: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    content_type: str = "application/json"

    def check_allowed(self, url: str) -> None:
        """Do nothing if the callback URL is covered by the allow-list, and its host is no forbidden address.

        A name's addresses are judged when it is dialled.

        :raises NotAllowedError: saying how to allow it.
        """
        try:
            parts = parse_callback_url(url)
        except CallbackUrlError as error:
            raise NotAllowedError(f"nothing was sent: the callback URL {error.problem}") from None
        if parts.address is not None:
            self._check_address(parts.host, parts.address)
            if parts.address.version == 6 and self.egress_proxy is not None:
                raise NotAllowedError("nothing was sent: an IPv6 address cannot be reached through egress_proxy")
        if not allows(self.allow, url):
            raise NotAllowedError(
                f"nothing was sent: destination {self.name!r} does not allow {redacted(url)}. To allow it, add a "
                f'pattern such as "{parts.origin}/" to "allow" in the extra of the Airflow connection '
                f"{connection_id(self.name)}"
            )

    def _check_address(self, host: str, address: Address) -> None:
        """Refuse an address that not even a pattern of its own would open."""
        spelled_out = replace(self.addresses, literals=self.addresses.literals | {address})
        verdict = spelled_out.judge(host, host)
        if not verdict.allowed:
            raise AddressRefused(self.guard.refusal(host, host, verdict))

    @property
    def guard(self) -> Guard:
        """What judges the addresses of a callback URL's host."""
        return Guard(rules=self.addresses, destination=self.name)

    def ssl_context(self) -> ssl.SSLContext:
        """Return the TLS settings of this destination.

        :raises DestinationError: if a file cannot be read.
        """
        field_name = "ca_bundle"
        try:
            context = ssl.create_default_context(cafile=self.ca_bundle)
            field_name = "client_cert"
            if self.client_cert:
                context.load_cert_chain(self.client_cert, self.client_key, password=_no_pass_phrase)
        except (OSError, ssl.SSLError) as error:
            raise DestinationError(
                f"connection {connection_id(self.name)}: {field_name} cannot be used: {error.strerror or error}"
            ) from error
        return context


def parse_destination(name: str, *, conn_type: str | None, password: str | None, extra: str | None) -> Destination:
    """Read a destination from the parts of its Airflow connection.

    :param name: of the destination, without the ``ringback_`` of the connection id.
    :param password: signing keys, newest first, with white space between them.
    :param extra: a JSON object, see :class:`Destination`.
    :raises DestinationError: naming the connection, the field and the mend.
    """
    where = f"connection {connection_id(name)}"
    if conn_type != CONNECTION_TYPE:
        raise DestinationError(f"{where}: its type is {conn_type!r}, but it must be {CONNECTION_TYPE!r}")
    try:
        keys = parse_signing_keys(password or "")
    except KeyFormatError as error:
        raise DestinationError(f"{where}: password: {error}") from None
    settings = _object(extra, where)
    for key in settings:
        if key not in _KNOWN:
            raise DestinationError(f"{where}: extra: unknown member {key!r}; known are {', '.join(_KNOWN)}")
    allow = settings.get("allow", [])
    allow = [allow] if isinstance(allow, str) else allow
    if not isinstance(allow, list):
        raise DestinationError(f"{where}: extra: allow must be a list of URL patterns")
    try:
        patterns = tuple(parse_pattern(pattern) for pattern in allow)
        addresses = parse_address_rules(settings.get("allow_networks", []), settings.get("allow_hosts", []), patterns)
        egress_proxy = parse_egress_proxy(settings.get("egress_proxy"))
    except DestinationError as error:
        raise DestinationError(f"{where}: extra: {error}") from None
    content_type = settings.get("content_type", CONTENT_TYPES[0])
    if content_type not in CONTENT_TYPES:
        raise DestinationError(f"{where}: extra: content_type must be one of {', '.join(CONTENT_TYPES)}")
    return Destination(
        name=name,
        keys=keys,
        allow=patterns,
        addresses=addresses,
        egress_proxy=egress_proxy,
        headers=_headers(settings.get("headers", {}), where),
        ca_bundle=_path(settings, "ca_bundle", where),
        client_cert=_path(settings, "client_cert", where),
        client_key=_path(settings, "client_key", where),
        content_type=content_type,
    )


def _object(extra: str | None, where: str) -> dict[str, Any]:
    try:
        settings = json.loads(extra or "{}")
    except ValueError:
        raise DestinationError(f"{where}: extra is not JSON") from None
    if not isinstance(settings, dict):
        raise DestinationError(f'{where}: extra must be a JSON object such as {{"allow": ["https://…/"]}}')
    return settings


def _headers(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise DestinationError(f"{where}: extra: headers must be an object of names and texts")
    for name, text in value.items():
        if not isinstance(text, str) or not _VALUE.fullmatch(text) or not _TOKEN.fullmatch(name):
            raise DestinationError(f"{where}: extra: headers: {name!r} is not a header with a plain text value")
        if name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise DestinationError(f"{where}: extra: headers: {name!r} is set by Ringback itself")
    return {name.lower(): text for name, text in value.items()}


def _path(settings: Mapping[str, Any], key: str, where: str) -> str | None:
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        raise DestinationError(f"{where}: extra: {key} must be the path of a PEM file")
    return value or None


def _no_pass_phrase() -> str:
    # Without this, OpenSSL asks for it on the terminal, and the task waits for an answer for ever.
    raise OSError("its key is encrypted, and must be stored without a pass phrase")
