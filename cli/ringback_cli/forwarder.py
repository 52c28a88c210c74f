"""How ``ringback listen`` passes on what it has verified: the same bytes, to one URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpx

from ringback_cli.seen import Forwarded
from ringback_receiver._answer import Answer, answer_refusal

__all__ = ["Forwarder"]

_FORWARD_SECONDS = 10.0
_LARGEST_ANSWER = 65_536
_OF_ONE_HOP = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""RFC 9110, section 7.6.1, and what the next request sets itself."""


class Forwarder:
    """Passes requests on, to one URL and no other: no redirects, no proxies of the environment, one deadline."""

    def __init__(self, url: str) -> None:
        self._url = url
        # What one event's answer sets is no part of the next event.
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._http = httpx.AsyncClient(
            timeout=None,  # noqa: S113 - below
            trust_env=False,
            follow_redirects=False,
            cookies=no_cookies,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, headers: Sequence[tuple[str, str]], body: bytes) -> tuple[Forwarded, Answer]:
        """Pass a request on; what is answered there, or 502, is the answer to it."""
        dropped = _OF_ONE_HOP | set(_named_by_connection(headers))
        # As bytes: httpx takes a text for ASCII.
        kept = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers if name.lower() not in dropped
        ]
        error = "no answer in time"
        try:
            with anyio.fail_after(_FORWARD_SECONDS):
                # A list and not a mapping: a header that comes twice comes twice there, too.
                async with self._http.stream("POST", self._url, headers=kept, content=body) as response:
                    said = b""
                    async for chunk in response.aiter_raw():
                        said += chunk
                        if len(said) > _LARGEST_ANSWER:
                            break
                    return Forwarded(status=response.status_code), _passed_back(response, said[:_LARGEST_ANSWER])
        except TimeoutError:
            pass
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as failure:
            error = str(failure) or type(failure).__name__
        return Forwarded(error=error), answer_refusal(502, "not_forwarded")


def _named_by_connection(headers: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, value in headers:
        if name.lower() == "connection":
            yield from (named.strip().lower() for named in value.split(","))


def _passed_back(response: httpx.Response, body: bytes) -> Answer:
    names = ("content-type", "content-encoding", "retry-after")
    headers: Mapping[str, str] = {name: response.headers[name] for name in names if name in response.headers}
    bare = response.status_code in (204, 304)
    return Answer(
        status=response.status_code,
        headers={} if bare else headers,
        body=b"" if bare else body,
        outcome="forwarded",
    )
