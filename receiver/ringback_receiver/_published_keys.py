"""Asking Airflow for the keys that a destination signs with: one GET, believed only if everything about it is right."""

from __future__ import annotations

import re
import ssl
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec

from ringback_protocol import KeyFormatError, PublicKey
from ringback_receiver._airflow_errors import AirflowUsageError
from ringback_receiver._airflow_settings import base_url_of
from ringback_receiver._trusted_keys import Failed, Learned, Published, Unchanged, Withdrawn
from ringback_receiver.errors import ConfigurationError

__all__ = ["ask", "http_client", "keys_url"]

MAX_ANSWER_BYTES = 32_768
_DEFAULT_MAX_AGE = 300.0
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=([0-9]{1,9})(?=$|[\s,])")
_RETRY_AFTER = re.compile(r"[0-9]{1,9}")
_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,256}"')  # RFC 9110, section 8.8.3, without obs-text
_DESTINATION = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Key(msgspec.Struct):
    key: str
    valid_for: Annotated[float, msgspec.Meta(gt=0)]


class _Answer(msgspec.Struct):
    destination: str
    keys: Annotated[list[_Key], msgspec.Meta(min_length=1, max_length=16)]


class _Refusal(msgspec.Struct):
    error: str


def keys_url(base_url: str, destination: str, *, allow_http: bool) -> str:
    """Return where a destination's keys are published.

    :raises ConfigurationError: the base URL cannot be right, or is plain http and no loopback address, or there can
        be no such destination.
    """
    try:
        base = base_url_of(base_url)
    except AirflowUsageError as error:
        raise ConfigurationError(f"Discover: {error}") from None
    parts = urlsplit(base)
    if parts.scheme != "https" and not allow_http and not _is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            "Discover: over http, anybody on the way could publish keys of his own; use https, or say allow_http=True"
        )
    if not _DESTINATION.fullmatch(destination):
        raise ConfigurationError("Discover: a destination is 1 to 64 letters, digits, '_' or '-'")
    return f"{base}/ringback/keys/{destination}"


def http_client(verify: ssl.SSLContext | bool, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """Return a client that goes where it is sent and nowhere else: no redirects, no proxies of the environment.

    Nor does it keep connections: the next question is minutes away.
    """
    return httpx.AsyncClient(
        timeout=None,  # noqa: S113  one deadline for all of a request is set where it is sent
        transport=transport,
        verify=verify,
        trust_env=False,
        follow_redirects=False,
        limits=httpx.Limits(max_keepalive_connections=0),
        # No cache on the way is to answer: a signature that nobody knows asks what is true now.
        headers={"user-agent": "ringback", "accept": "application/json", "cache-control": "no-cache"},
    )


async def ask(http: httpx.AsyncClient, url: str, destination: str, *, etag: str | None, within: float) -> Learned:
    """Ask once; nothing is raised but a cancellation.

    :param etag: of the keys that are known.
    :param within: seconds for all of it.
    """
    headers = {"accept-encoding": "identity", **({"if-none-match": etag} if etag else {})}
    try:
        with anyio.fail_after(within):
            async with http.stream("GET", url, headers=headers) as response:
                body = b""
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        return Failed(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
                return _learned(response, body, destination, asked_with=etag)
    except (httpx.TimeoutException, TimeoutError):
        return Failed("no answer in time")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Failed(str(error) or type(error).__name__)


def _learned(response: httpx.Response, body: bytes, destination: str, *, asked_with: str | None) -> Learned:
    status, max_age = response.status_code, _max_age(response.headers.get("cache-control", ""))
    if status == 304 and asked_with:
        return Unchanged(max_age=max_age)
    if status == 404 and _decoded(body, _Refusal) == _Refusal("no_public_keys"):
        return Withdrawn()
    if status != 200:
        return Failed(f"status {status}", retry_after=_retry_after(response) if status == 503 else None)
    answer = _decoded(body, _Answer)
    if answer is None or answer.destination != destination:
        return Failed("the answer is not what Ringback's plugin says; is this the address of Airflow's API server?")
    try:
        # Public keys only: a shared secret that everybody can read would be none.
        keys = tuple((PublicKey(entry.key), entry.valid_for) for entry in answer.keys)
    except KeyFormatError as error:
        return Failed(f"the answer has a key that cannot be right: {error}")
    return Published(keys=keys, max_age=max_age, etag=_etag(response))


def _decoded(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _max_age(cache_control: str) -> float:
    found = _MAX_AGE.search(cache_control.lower())
    return float(found[1]) if found else _DEFAULT_MAX_AGE


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds, if it is seconds that it says (RFC 9110, section 10.2.3)."""
    text = response.headers.get("retry-after", "")
    return float(text) if _RETRY_AFTER.fullmatch(text) else None


def _etag(response: httpx.Response) -> str | None:
    """Return what the next question can repeat; anything else would only break it."""
    text = response.headers.get("etag", "")
    return text if _ETAG.fullmatch(text) else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
