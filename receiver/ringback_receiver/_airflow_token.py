"""Where bearer tokens come from, and how long one is used."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import msgspec

from ringback_receiver._airflow_answers import WRONG_BASE, decode, error_of, token_refused
from ringback_receiver._airflow_errors import (
    AirflowAuthError,
    AirflowProtocolError,
    AirflowUnreachable,
    AirflowUsageError,
)
from ringback_receiver._airflow_wire import Ask, Exclusive, Follow, Operation, Request, Response, Secret

__all__ = ["Credentials", "PasswordLogin", "TokenCache", "TokenSource", "credentials_of", "lifetime"]

DEFAULT_LIFETIME = 600.0
"""Seconds to use a token that does not say when it expires."""

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLogin:
    """Log in with a name and a password; the password may be a callable that fetches it."""

    username: str
    password: Secret | Callable[[], Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """Use a token that the caller has, or a callable that fetches one."""

    token: Secret | Callable[[], Any] = field(repr=False)


Credentials: TypeAlias = PasswordLogin | TokenSource


def credentials_of(username: str | None, password: Any, token: Any) -> Credentials:
    """Choose between the two kinds of credentials.

    :raises AirflowUsageError: neither or both are given, or only one of name and password.
    """
    if token is not None and username is None and password is None:
        return TokenSource(token=_guarded(token, "token"))
    if token is None and username and password is not None:
        return PasswordLogin(username=username, password=_guarded(password, "password"))
    raise AirflowUsageError("give either username and password, or token", reason="bad_credentials")


def _guarded(secret: Any, name: str) -> Secret | Callable[[], Any]:
    if callable(secret):
        return secret  # type: ignore[no-any-return]
    if not isinstance(secret, str) or not secret:
        raise AirflowUsageError(f"{name} must be a string that is not empty, or a callable", reason="bad_credentials")
    return Secret(secret)


class _Issued(msgspec.Struct):
    access_token: str


class _Claims(msgspec.Struct):
    exp: float
    iat: float | None = None


def lifetime(token: str, now: float) -> float:
    """Say for how many seconds a token should be used, reading but not verifying its JWT payload.

    It counts from when the token was issued by the server's clock, so a local clock that is wrong does no
    harm; only when the local clock says that less is left (a provider's token may be old) is that believed.
    A tenth, at most a minute, is kept in reserve. Anything that is not such a JWT gets a fixed lifetime.

    :param now: Unix seconds.
    """
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims)
    except (IndexError, ValueError, RecursionError):
        return DEFAULT_LIFETIME
    left = claims.exp - now
    total = claims.exp - claims.iat if claims.iat is not None else left
    if total <= 0:
        return DEFAULT_LIFETIME
    usable = left if 0 < left < total else total
    return usable - min(60.0, usable / 10)


class TokenCache:
    """The token in use; one for a client, renewed by one caller at a time.

    :param monotonic: a clock in seconds that only goes forward.
    :param wall: a clock in Unix seconds.
    """

    def __init__(self, credentials: Credentials, *, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._credentials = credentials
        self._monotonic = monotonic
        self._wall = wall
        self._token: Secret | None = None
        self._until = 0.0

    def obtain(self, rejected: Secret | None = None) -> Operation[Secret]:
        """Return the token in use, or a new one if it is old or is the one that Airflow just rejected."""
        if self._token is not None and self._token != rejected and self._monotonic() < self._until:
            return self._token
        self._token = None
        text = yield from self._fetch()
        self._until = self._monotonic() + lifetime(text.value, self._wall())
        self._token = text
        return text

    def call(
        self, request: Request, wrap: Callable[[Request], Request | Follow] = lambda request: request
    ) -> Operation[Response]:
        """Send with the token in use, and once more with a new one if Airflow no longer takes it.

        :param wrap: makes the command of the request with its token.
        """
        token: Secret = yield Exclusive(self.obtain())
        response = yield from _sent(wrap(replace(request, token=token)))
        if token_refused(response):
            fresh: Secret = yield Exclusive(self.obtain(rejected=token))
            if fresh != token:
                response = yield from _sent(wrap(replace(request, token=fresh)))
            if token_refused(response):
                raise error_of(request, response)
        return response

    def _fetch(self) -> Operation[Secret]:
        if isinstance(self._credentials, TokenSource):
            token = yield from _value(self._credentials.token, "the token provider")
            return _checked(token)
        password = yield from _value(self._credentials.password, "the password provider")
        return (yield from _log_in(self._credentials.username, password))


def _sent(request: Request | Follow) -> Operation[Response]:
    """Send, and mark the error if no answer comes: the request may have taken effect all the same."""
    try:
        response: Response = yield request
    except AirflowUnreachable as error:
        error.unanswered = True
        raise
    return response


def _value(secret: Secret | Callable[[], Any], what: str) -> Operation[Secret]:
    if isinstance(secret, Secret):
        return secret
    value = Secret((yield Ask(secret)))
    if not isinstance(value.value, str) or not value.value:
        raise AirflowAuthError(f"{what} gave no string", reason="bad_token")
    return value


def _log_in(username: str, password: Secret) -> Operation[Secret]:
    """Log in as SimpleAuth and FAB both allow: POST /auth/token.

    What Airflow answers is not repeated in errors: a validation error quotes the body, and so the password.
    """
    request = Request(method="POST", path="/auth/token", json={"username": username, "password": password.value})
    response = yield request
    if response.status in (200, 201):
        return _checked(Secret(decode(request, response, _Issued).access_token))
    if response.status in (401, 403):
        raise AirflowAuthError(
            f"Airflow refuses the credentials of user {username!r}",
            reason="credentials_refused",
            status=response.status,
        )
    error = error_of(request, response)
    if isinstance(error, AirflowUnreachable):
        raise error
    raise AirflowProtocolError(
        f"POST /auth/token was answered {response.status} and issued no token; {WRONG_BASE}",
        reason=error.reason if isinstance(error, AirflowProtocolError) else None,
        status=response.status,
    )


def _checked(token: Secret) -> Secret:
    """Refuse what no header can carry: the HTTP library's own error would quote the token."""
    stripped = token.value.strip()
    if not _HEADER_SAFE.fullmatch(stripped):
        raise AirflowAuthError("the token holds characters that a header cannot carry", reason="bad_token")
    return Secret(stripped)
