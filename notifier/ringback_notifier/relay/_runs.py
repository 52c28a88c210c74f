"""Reading runs from Airflow's REST API: the one place of the relay that talks to Airflow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import anyio
import httpx

from ringback_notifier._allow import redacted
from ringback_notifier._version import VERSION
from ringback_notifier.relay._credentials import Credentials
from ringback_notifier.relay._errors import (
    RelayApiError,
    RunsDenied,
    RunsTooLarge,
    RunsUnavailable,
    RunsUnreadable,
)
from ringback_notifier.relay._paging import Place
from ringback_notifier.relay._requests import (
    batches,
    changed_path,
    read_page,
    read_run,
    readable,
    run_path,
    server_time,
    some_paths,
)
from ringback_notifier.relay._run import Page, Run, RunKey
from ringback_notifier.relay._token import lifetime, read_token

__all__ = ["Changed", "Found", "RunsApi"]

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 10_000_000
_AT_ONCE = 8
_MOST_PASSED_OVER = 200
"""Runs in one go; then Airflow is left alone for a while, whatever its trouble is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What became of the runs that were asked for.

    :param runs: those that are there.
    :param gone: those that are not.
    :param failed: those that could not be read, with the reason.
    """

    runs: dict[RunKey, Run] = field(default_factory=dict)
    gone: set[RunKey] = field(default_factory=set)
    failed: dict[RunKey, RelayApiError] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """A page of runs that changed.

    :param at: when the server answered, by its own clock, in Unix seconds.
    :param place: where the next page starts, or ``None`` if this was the last.
    """

    runs: tuple[Run, ...]
    at: float
    place: Place | None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: httpx.Headers
    body: bytes


class RunsApi:
    """Airflow's REST API, as far as the relay needs it.

    It may be used from one event loop at a time, and from another after :meth:`aclose`.

    :param base_url: of Airflow, without ``/api/v2``.
    :param username: with ``password``, to get a token with.
    :param token: instead of both; without either, Airflow's simple auth manager in its all-admins mode gives one.
    :param ca_bundle: path of a PEM file with the only CAs to trust, or ``None`` for the system's.
    :param timeout: seconds for one request, all of it.
    :param renew: gives the account as it is by now once Airflow has refused this one, or ``None``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        ca_bundle: str | None = None,
        timeout: float = 10.0,
        renew: Callable[[], Awaitable[Credentials | None]] | None = None,
    ) -> None:
        if (username is None) != (password is None) or (token is not None and username is not None):
            raise ValueError("give username and password, or token, or neither")
        self._base = base_url.rstrip("/")
        self._shown = redacted(self._base)
        self._renew = renew
        self._use(Credentials(username=username, password=password, token=token))
        self._ca_bundle = ca_bundle
        self._timeout = timeout
        self._renewing = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._batching = True

    def __repr__(self) -> str:
        return f"RunsApi({self._shown!r})"

    async def server_time(self) -> float:
        """Return the server's time in Unix seconds.

        :raises RelayApiError: if it cannot be had.
        """
        answer = await self._get("/api/v2/version")
        if answer.status != httpx.codes.OK:
            raise self._unexpected("/api/v2/version", answer)
        with self._naming("/api/v2/version"):
            return server_time(answer.headers)

    async def find(self, keys: Iterable[RunKey], *, since: float) -> Found:
        """Ask for many runs in as few requests as possible.

        :param since: Unix seconds; when they last changed at the earliest.  Others cost a request each.
        :raises RelayApiError: if nothing can be had at all.
        """
        found = Found()
        for path, wanted in batches(dict.fromkeys(keys), since=since):
            if self._batching:
                try:
                    runs = readable((await self._page(path))[0])
                except RelayApiError as error:
                    await self._trouble_of_runs(error)
                else:
                    self._batching = _understood(runs, wanted)
                    # What was asked for by pattern is found by chance, too: the same run id in another DAG.
                    found.runs.update((run.key, run) for run in runs if run.key in wanted)
            missing = [key for key in wanted if key not in found.runs]
            for start in range(0, len(missing), _AT_ONCE):
                some = missing[start : start + _AT_ONCE]
                await asyncio.gather(*(self._find_one(key, found) for key in some))
                if all(key in found.failed for key in some):
                    await self._trouble_of_runs(found.failed[some[0]])
            if len(missing) == len(wanted) and sum(key in found.runs for key in missing) > 1:
                self._batching = False  # nor does every version take "|" for "or"
        return found

    async def changed(self, *, since: float, until: float, place: Place) -> AsyncIterator[Changed]:
        """Yield pages of ended runs that changed, and may ask for a callback; some may come twice.

        A run that cannot be had, because Airflow fails over it or it is too large, is passed over: it must not
        hide the others.

        :param since: Unix seconds.
        :param until: Unix seconds.
        :param place: where to begin.
        :raises RelayApiError: if a page cannot be had, and it is not single runs that Airflow has trouble with.
        """
        at: Place | None = place
        passed_over = 0
        while at is not None:
            try:
                page, moment = await self._page(changed_path(since=since, until=until, place=at))
            except RelayApiError as error:
                if error.status == httpx.codes.BAD_REQUEST and at.cursor:
                    at = at.without_cursor()
                    continue
                if passed_over >= _MOST_PASSED_OVER:
                    raise  # the next call goes on from here
                moment = await self._trouble_of_runs(error)
                suspect = at.after_failure()
                if suspect is None:
                    passed_over += 1
                    log.error("ringback relay: %s; the sweep passes over this one run", error)
                at = suspect or at.behind_one()
                yield Changed(runs=(), at=moment, place=at)
            else:
                at = at.after(page)
                yield Changed(runs=readable(page), at=moment, place=at)

    async def _trouble_of_runs(self, error: RelayApiError) -> float:
        """Return the server's time if it can show some other run, so that it was single runs that it failed over.

        :raises RelayApiError: ``error``, if it cannot: that is an outage, and nothing may be passed over.
        """
        shown = await asyncio.gather(*(self._page(path) for path in some_paths()), return_exceptions=True)
        for answer in shown:
            if not isinstance(answer, BaseException) and answer[0].dag_runs:
                return answer[1]
        raise error

    async def aclose(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        self._renewing = asyncio.Lock()
        if client is not None:
            await client.aclose()

    async def _page(self, path: str) -> tuple[Page, float]:
        """Return a page and when the server answered."""
        answer = await self._get(path)
        if answer.status != httpx.codes.OK:
            raise self._unexpected(path, answer)
        with self._naming(path):
            return read_page(answer.body), server_time(answer.headers)

    async def _find_one(self, key: RunKey, found: Found) -> None:
        path = run_path(key)
        try:
            answer = await self._get(path)
            if answer.status == httpx.codes.NOT_FOUND:
                found.gone.add(key)
            elif answer.status == httpx.codes.OK:
                with self._naming(path):
                    found.runs[key] = read_run(answer.body)
            else:
                found.failed[key] = self._unexpected(path, answer)
        except RelayApiError as error:
            found.failed[key] = error

    async def _get(self, path: str) -> _Answer:
        """Ask, and once more with another account if Airflow refuses this one and it has been changed."""
        credentials = self._credentials
        try:
            answer = await self._ask(path)
        except RunsDenied:
            if not await self._renewed(credentials):
                raise
        else:
            refused = answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
            if not refused or not await self._renewed(credentials):
                return answer
        return await self._ask(path)

    async def _renewed(self, refused: Credentials) -> bool:
        """Look the account up again, once for all who were refused; tell whether it is another by now."""
        async with self._renewing:
            if self._renew is not None and self._credentials is refused:
                fresh = await self._renew()
                if fresh is not None and fresh != refused:
                    self._use(fresh)
            return self._credentials is not refused

    def _use(self, credentials: Credentials) -> None:
        name = credentials.username
        self._credentials = credentials
        self._login = None if name is None else {"username": name, "password": credentials.password}
        self._given = credentials.token
        self._token: str | None = None
        self._token_until = 0.0

    async def _ask(self, path: str) -> _Answer:
        """Ask with the token in use, and once more with a new one if Airflow no longer takes it."""
        token = await self._current_token(rejected=None)
        answer = await self._send("GET", path, token=token)
        if answer.status == httpx.codes.UNAUTHORIZED:
            fresh = await self._current_token(rejected=token)
            if fresh != token:
                answer = await self._send("GET", path, token=fresh)
        return answer

    async def _current_token(self, *, rejected: str | None) -> str:
        if self._given is not None:
            return self._given
        async with self._renewing:
            if self._token is None or self._token == rejected or time.monotonic() >= self._token_until:
                self._token = await self._new_token()
                self._token_until = time.monotonic() + lifetime(self._token, now=time.time())
            return self._token

    async def _new_token(self) -> str:
        path = "/auth/token"
        answer = await self._send("GET" if self._login is None else "POST", path, json=self._login)
        if answer.status in (httpx.codes.OK, httpx.codes.CREATED):
            token = read_token(answer.body)
            if token is None:
                raise RunsUnreadable(f"{self._shown}{path} gave no token; is the base URL right?")
            return token
        if answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RunsDenied(
                f"{self._shown}{path}: Airflow gives no token without a user name and a password"
                if self._login is None
                else f"{self._shown}{path}: Airflow refuses the credentials of user {self._login['username']!r}"
            )
        # What Airflow says is not repeated: a validation error quotes the body, and so the password.
        raise self._unexpected(path, _Answer(answer.status, answer.headers, b""))

    async def _send(
        self, method: str, path: str, *, token: str | None = None, json: dict[str, str | None] | None = None
    ) -> _Answer:
        where = f"{self._shown}{path.partition('?')[0]}"
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            with anyio.fail_after(self._timeout):
                client = self._client or await self._open()
                async with client.stream(method, self._base + path, headers=headers, json=json) as response:
                    body = bytearray()
                    async for chunk in response.aiter_raw():
                        body += chunk
                        if len(body) > MAX_ANSWER_BYTES:
                            raise RunsTooLarge(f"{where}: an answer of more than {MAX_ANSWER_BYTES} bytes")
                    return _Answer(response.status_code, response.headers, bytes(body))
        except TimeoutError:
            raise RunsUnavailable(f"{where}: no answer within {self._timeout:g} s") from None
        except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError) as error:
            # What they say quotes a header or a piece of the URL, and so maybe a token or a password.
            raise RunsUnreadable(f"{where}: cannot be asked: {type(error).__name__}; is the base URL right?") from None
        except (httpx.HTTPError, OSError) as error:
            raise RunsUnavailable(f"{where}: {type(error).__name__}: {error}") from error

    async def _open(self) -> httpx.AsyncClient:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=context,
                trust_env=False,
                follow_redirects=False,
                timeout=None,  # noqa: S113 - the deadline is around the whole request
                headers={"user-agent": f"ringback/{VERSION}", "accept-encoding": "identity"},
                limits=httpx.Limits(max_connections=_AT_ONCE + 2, keepalive_expiry=3.0),
            )
        return self._client

    @contextlib.contextmanager
    def _naming(self, path: str) -> Iterator[None]:
        """Add to an error whose answer cannot be read."""
        try:
            yield
        except RunsUnreadable as error:
            raise RunsUnreadable(f"{self._shown}{path.partition('?')[0]}: {error}") from error

    def _unexpected(self, path: str, answer: _Answer) -> RelayApiError:
        error = self._judged(path, answer)
        error.status = answer.status
        return error

    def _judged(self, path: str, answer: _Answer) -> RelayApiError:
        where = f"{self._shown}{path.partition('?')[0]}: status {answer.status}"
        if answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return RunsDenied(f"{where}: the relay's user must be allowed to read DAGs and DAG runs")
        if answer.status in (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS) or answer.status >= 500:
            return RunsUnavailable(where)
        text = answer.body[:300].decode("utf-8", "replace")
        said = "".join(char if char.isprintable() else "·" for char in text)
        return RunsUnreadable(f"{where}{': ' + said if said else ''}; is the base URL right?")


def _understood(runs: Sequence[Run], wanted: Iterable[RunKey]) -> bool:
    """Tell whether Airflow filtered by run id: one that does not know the filter (< 3.1) answers with any runs."""
    run_ids = [run_id.lower() for _, run_id in wanted]
    return not runs or any(run_id in run.run_id.lower() for run in runs for run_id in run_ids)
