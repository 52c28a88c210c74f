"""Airflow's REST API for asynchronous callers: a thin driver over the pure core.

The methods are those of :class:`.AirflowClient`, where they are explained.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, closing
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import anyio
import httpx

from ringback_receiver._airflow_api import AirflowApi
from ringback_receiver._airflow_http import (
    BodyReader,
    LineReader,
    client_options,
    http_request,
    response_of,
    translated,
)
from ringback_receiver._airflow_runs import RunsFound
from ringback_receiver._airflow_settings import Verify, base_url_of, environment_settings
from ringback_receiver._airflow_token import credentials_of
from ringback_receiver._airflow_wire import Ask, Command, Follow, Operation, Request, Response, Sleep
from ringback_receiver._dag_run import DagRun, RunResult

__all__ = ["AsyncAirflowClient"]

T = TypeVar("T")
Self = TypeVar("Self", bound="AsyncAirflowClient")


class AsyncAirflowClient:
    """Trigger DAG runs and look after them from another system, without blocking the event loop.

    Arguments are those of :class:`.AirflowClient`, but that ``password`` and ``token`` may also be
    asynchronous callables (one that is not must be quick: it runs in the event loop) and that ``timeout``
    holds for a request as a whole. Tasks may share one client; they share one token.
    """

    def __init__(
        self,
        base_url: str,
        *,
        username: str | None = None,
        password: str | Callable[[], str | Awaitable[str]] | None = None,
        token: str | Callable[[], str | Awaitable[str]] | None = None,
        timeout: float = 10.0,
        verify: Verify = True,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = base_url_of(base_url)
        self._api = AirflowApi(self._url, credentials_of(username, password, token))
        self._timeout = timeout
        self._http = httpx.AsyncClient(transport=transport, **client_options(timeout, verify, trust_env))
        self._lock = anyio.Lock()

    @property
    def base_url(self) -> str:
        """Where Airflow is, without a slash at the end."""
        return self._url

    @classmethod
    def from_environment(
        cls: type[Self],
        prefix: str = "AIRFLOW_",
        *,
        timeout: float = 10.0,
        verify: Verify = True,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """Make a client from environment variables, as :meth:`.AirflowClient.from_environment` does."""
        return cls(
            timeout=timeout,
            verify=verify,
            trust_env=trust_env,
            transport=transport,
            **environment_settings(prefix),
        )

    async def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
    ) -> DagRun:
        """Start a DAG run, once: an answer that got lost is asked for again, up to three times."""
        return await self._run(
            self._api.trigger(dag_id, conf=conf, run_id=run_id, logical_date=logical_date, note=note)
        )

    async def get_run(self, dag_id: str, run_id: str) -> DagRun:
        """Say how a run is."""
        return await self._run(self._api.get_run(dag_id, run_id))

    async def find_runs(self, runs: Iterable[tuple[str, str]]) -> RunsFound:
        """Say how each of these runs is, in few requests."""
        return await self._run(self._api.find_runs(runs))

    async def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,  # noqa: ASYNC109 - the core keeps the time, and raises with the run
        poll_interval: float = 1.0,
        max_poll_interval: float = 30.0,
    ) -> DagRun:
        """Wait until a run has succeeded, by asking at growing intervals."""
        return await self._run(
            self._api.wait_for_run(
                dag_id,
                run_id,
                timeout=timeout,
                poll_interval=poll_interval,
                max_poll_interval=max_poll_interval,
            )
        )

    async def trigger_and_wait(
        self,
        dag_id: str,
        *,
        timeout: float,  # noqa: ASYNC109 - the core keeps the time, and raises with the run
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
        poll_interval: float = 1.0,
        max_poll_interval: float = 30.0,
    ) -> DagRun:
        """Start a DAG run and wait until it has succeeded, for callers that nothing can ring back."""
        return await self._run(
            self._api.trigger_and_wait(
                dag_id,
                conf=conf,
                run_id=run_id,
                logical_date=logical_date,
                note=note,
                timeout=timeout,
                poll_interval=poll_interval,
                max_poll_interval=max_poll_interval,
            )
        )

    async def wait_for_result(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,  # noqa: ASYNC109 - the core keeps the time, and raises with the run
        interval: float = 1.0,
        on_state: Callable[[str], None] | None = None,
    ) -> RunResult:
        """Wait until a run has succeeded, and return what its DAG declares as result, by Airflow's ``/wait``."""
        return await self._run(
            self._api.wait_for_result(dag_id, run_id, timeout=timeout, interval=interval, on_state=on_state)
        )

    async def pause(self, dag_id: str) -> None:
        """Pause a DAG: its runs stay queued."""
        await self._run(self._api.set_paused(dag_id, True))

    async def unpause(self, dag_id: str) -> None:
        """Let a paused DAG run."""
        await self._run(self._api.set_paused(dag_id, False))

    async def get_variable(self, key: str) -> str:
        """Read a variable as Airflow shows it."""
        return await self._run(self._api.get_variable(key))

    async def set_variable(self, key: str, value: str, description: str | None = None) -> None:
        """Create a variable or update it."""
        await self._run(self._api.set_variable(key, value, description))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self: Self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    async def _run(self, operation: Operation[T]) -> T:
        """Drive an operation: perform what it asks for, give back or throw in what came of it."""
        reply: Any = None
        failure: Exception | None = None
        with closing(operation):
            while True:
                try:
                    command = operation.send(reply) if failure is None else operation.throw(failure)
                except StopIteration as done:
                    result: T = done.value
                    return result
                reply = failure = None
                try:
                    reply = await self._perform(command)
                except Exception as error:  # the operation decides what it means
                    failure = error

    async def _perform(self, command: Command) -> Any:
        if isinstance(command, Request):
            return await self._send(command)
        if isinstance(command, Follow):
            return await self._read_lines(command)
        if isinstance(command, Sleep):
            await anyio.sleep(command.seconds)
            return None
        if isinstance(command, Ask):
            value = command.provider()
            return await value if inspect.isawaitable(value) else value
        async with self._lock:
            return await self._run(command.operation)

    async def _send(self, request: Request) -> Response:
        with translated(request), anyio.fail_after(self._timeout):
            reader = BodyReader(request, self._timeout)
            answer = await self._http.send(http_request(self._http, self._url, request), stream=True)
            async with aclosing(answer):
                async for chunk in answer.aiter_bytes():
                    reader.add(chunk)
            return response_of(answer, reader)

    async def _read_lines(self, follow: Follow) -> Response:
        request = follow.request
        answer: httpx.Response | None = None
        with translated(request):
            reader = LineReader(follow, self._timeout)
            made = http_request(self._http, self._url, request, pause=follow.pause)
            with anyio.move_on_after(follow.within):
                with anyio.fail_after(self._timeout):
                    answer = await self._http.send(made, stream=True)
                async with aclosing(answer):
                    async for chunk in answer.aiter_bytes():
                        if reader.add(answer.status_code, chunk):
                            break
            if answer is None:
                raise TimeoutError
            return reader.response(answer)
