"""What both Airflow clients do with httpx: its options, its requests, its answers and its errors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from ringback_receiver._airflow_errors import AirflowProtocolError, AirflowUnreachable
from ringback_receiver._airflow_settings import Verify, verification
from ringback_receiver._airflow_wire import Follow, Request, Response

__all__ = ["BodyReader", "LineReader", "client_options", "http_request", "response_of", "translated"]

LARGEST_ANSWER = 5_000_000
"""Bytes; more is no answer to anything that is asked here."""


def client_options(timeout: float, verify: Verify, trust_env: bool) -> dict[str, Any]:
    """Say how an httpx client is made here.

    Idle connections are dropped after 2 s, before Airflow's server does so at 5 s: a request on a connection
    that is just being closed fails. No cookie is kept: it could speak for someone else than the token.
    """
    return {
        "timeout": timeout,
        "verify": verification(verify),
        "trust_env": trust_env,
        "follow_redirects": False,
        "limits": httpx.Limits(keepalive_expiry=2.0),
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        "headers": {"user-agent": "ringback", "accept": "application/json", "accept-encoding": "identity"},
    }


def http_request(
    http: httpx.Client | httpx.AsyncClient, url: str, request: Request, *, pause: float = 0.0
) -> httpx.Request:
    """Make the httpx request; the token is in no variable here, so no traceback shows it.

    :param pause: seconds that the server may be silent for beyond the client's own patience.
    """
    made = http.build_request(
        request.method, url + request.path, params=request.params or None, content=request.content
    )
    if pause:
        made.extensions["timeout"] = {**made.extensions["timeout"], "read": made.extensions["timeout"]["read"] + pause}
    if request.json is not None:
        made.headers["content-type"] = "application/json"
    if request.token is not None:
        made.headers["authorization"] = f"Bearer {request.token.value}"
    return made


class BodyReader:
    """Collect an answer's body, but neither endlessly long nor endlessly much.

    :param timeout: seconds from now.
    """

    def __init__(self, request: Request, timeout: float) -> None:
        self._request = request
        self._deadline = time.monotonic() + timeout
        self.body = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take a piece.

        :raises AirflowProtocolError: it is too much by now.
        :raises AirflowUnreachable: it is too late.
        """
        self.body += chunk
        if len(self.body) > LARGEST_ANSWER:
            raise AirflowProtocolError(
                f"{_name(self._request)} was answered with more than {LARGEST_ANSWER} bytes",
                reason="too_large",
            )
        if time.monotonic() > self._deadline:
            raise _timed_out(self._request)


class LineReader:
    """Hand out an answer's lines as they come; of an answer that is not 200, collect the body.

    :param patience: seconds for such a body.
    """

    def __init__(self, follow: Follow, patience: float) -> None:
        self._follow = follow
        self._deadline = time.monotonic() + follow.within
        self._started = bytearray()
        self._body = BodyReader(follow.request, patience)

    def add(self, status: int, chunk: bytes) -> bool:
        """Take a piece, and return whether it was the last that is wanted.

        :raises AirflowProtocolError: a line is too long.
        """
        if status != 200:
            self._body.add(chunk)
            return False
        self._started += chunk
        *lines, rest = self._started.split(b"\n")
        self._started = rest
        if any(self._follow.each(bytes(line)) for line in lines if line.strip()):
            return True
        if len(rest) > LARGEST_ANSWER:
            raise AirflowProtocolError(
                f"{_name(self._follow.request)} was answered with a line of more than {LARGEST_ANSWER} bytes",
                reason="too_large",
            )
        return time.monotonic() > self._deadline

    def response(self, answer: httpx.Response) -> Response:
        """Turn what was read into the core's value."""
        return response_of(answer, self._body)


def response_of(answer: httpx.Response, reader: BodyReader) -> Response:
    """Turn an answer into the core's value."""
    return Response(status=answer.status_code, headers=dict(answer.headers), body=bytes(reader.body))


@contextmanager
def translated(request: Request) -> Iterator[None]:
    """Turn the errors of httpx, and the asynchronous deadline, into our own."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        raise _timed_out(request) from error
    except httpx.DecodingError as error:
        raise AirflowProtocolError(f"{_name(request)}: the answer cannot be decoded: {error}") from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise AirflowUnreachable(f"{_name(request)}: {reason}") from error


def _timed_out(request: Request) -> AirflowUnreachable:
    return AirflowUnreachable(f"{_name(request)}: no answer in time", reason="timed_out")


def _name(request: Request) -> str:
    return f"{request.method} {request.path}"
