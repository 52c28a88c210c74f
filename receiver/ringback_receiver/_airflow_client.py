"""Airflow's REST API for synchronous callers: a thin driver over the pure core."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ringback_receiver._airflow_api import AirflowApi
from ringback_receiver._airflow_errors import AirflowUsageError
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

__all__ = ["AirflowClient"]

T = TypeVar("T")
Self = TypeVar("Self", bound="AirflowClient")


class AirflowClient:
    """Trigger DAG runs and look after them from another system.

    It logs in when it must, follows no redirect, keeps no cookie and verifies certificates. One client may
    be shared by threads; they share one token.

    :param base_url: where Airflow's UI is, with its path prefix if it has one.
    :param username: the user to log in as; needs ``password``.
    :param password: the password, or a callable that fetches it whenever a token is needed.
    :param token: instead of both, a bearer token, or a callable that fetches one whenever one is needed.
    :param timeout: seconds for each request (but a server that trickles its headers can hold this client).
    :param verify: a file or directory of CA certificates, or an SSL context; by default those of httpx.
    :param trust_env: whether proxies and CA files named by the usual environment variables are used.
    :param transport: an httpx transport to send through, for tests or special networks.
    :raises AirflowUsageError: the URL or the credentials cannot be right.
    """

    def __init__(
        self,
        base_url: str,
        *,
        username: str | None = None,
        password: str | Callable[[], str] | None = None,
        token: str | Callable[[], str] | None = None,
        timeout: float = 10.0,
        verify: Verify = True,
        trust_env: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = base_url_of(base_url)
        self._api = AirflowApi(self._url, credentials_of(username, password, token))
        self._timeout = timeout
        self._http = httpx.Client(transport=transport, **client_options(timeout, verify, trust_env))
        self._lock = threading.Lock()

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
        transport: httpx.BaseTransport | None = None,
    ) -> Self:
        """Make a client from AIRFLOW_URL and AIRFLOW_USERNAME with AIRFLOW_PASSWORD, or AIRFLOW_TOKEN.

        :param prefix: what the variables' names begin with.
        :raises AirflowUsageError: a variable is missing, or one too many is set; the message names it.
        """
        return cls(
            timeout=timeout,
            verify=verify,
            trust_env=trust_env,
            transport=transport,
            **environment_settings(prefix),
        )

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
    ) -> DagRun:
        """Start a DAG run, once: an answer that got lost is asked for again, up to three times.

        Calling it again with the same ``run_id``, ``conf`` and ``logical_date`` returns the run that is
        already there. A paused DAG keeps the run queued.

        :param conf: what the DAG gets as ``dag_run.conf``; plain to see in Airflow, so no secrets.
        :param run_id: the idempotency key: letters, digits and ``_ . ~ : + -``; made up when left out.
        :param logical_date: with a time zone; at most one run of a DAG has it.
        :raises RunConflict: another run has this run id or logical date.
        :raises DagNotFound: Airflow has no such DAG.
        :raises AirflowRequestRejected: Airflow refused, as for a wrong param; ``details`` says why.
        :raises AirflowUnreachable: no answer, or a refusal after an attempt that got none; its ``run_id``
            may or may not exist, and is safe to reuse.
        """
        return self._run(self._api.trigger(dag_id, conf=conf, run_id=run_id, logical_date=logical_date, note=note))

    def get_run(self, dag_id: str, run_id: str) -> DagRun:
        """Say how a run is.

        :raises RunNotFound: Airflow has no such run.
        """
        return self._run(self._api.get_run(dag_id, run_id))

    def find_runs(self, runs: Iterable[tuple[str, str]]) -> RunsFound:
        """Say how each of these runs is, in few requests; an Airflow that is away raises, and then nothing is known.

        :param runs: DAG ids with run ids.
        :raises AirflowError: Airflow is not there, or refuses altogether.
        """
        return self._run(self._api.find_runs(runs))

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        poll_interval: float = 1.0,
        max_poll_interval: float = 30.0,
    ) -> DagRun:
        """Wait until a run has succeeded, by asking at growing intervals.

        Airflow may be away meanwhile: unreachable, overloaded or restarting, it is asked again.

        :param timeout: seconds to wait; a request under way is finished.
        :param poll_interval: seconds before the second question; each later pause is half as long again.
        :param max_poll_interval: the longest pause in seconds.
        :raises RunFailed: the run ended otherwise; ``.run`` is that run.
        :raises WaitTimeout: the time is over; ``.run`` is what was last seen.
        :raises RunNotFound: there is no such run, or it was deleted meanwhile.
        """
        return self._run(
            self._api.wait_for_run(
                dag_id,
                run_id,
                timeout=timeout,
                poll_interval=poll_interval,
                max_poll_interval=max_poll_interval,
            )
        )

    def trigger_and_wait(
        self,
        dag_id: str,
        *,
        timeout: float,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
        poll_interval: float = 1.0,
        max_poll_interval: float = 30.0,
    ) -> DagRun:
        """Start a DAG run and wait until it has succeeded, for callers that nothing can ring back.

        Arguments and errors are those of :meth:`trigger` and :meth:`wait_for_run`; ``timeout`` covers both.
        """
        return self._run(
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

    def wait_for_result(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        interval: float = 1.0,
        on_state: Callable[[str], None] | None = None,
    ) -> RunResult:
        """Wait until a run has succeeded, and return what its DAG declares as result, by Airflow's ``/wait``.

        That is one open request, and one query of Airflow's database per ``interval``. Where Airflow has no
        ``/wait``, as before 3.1, it polls as :meth:`wait_for_run` does, and there is no result.

        :param timeout: seconds to wait.
        :param interval: seconds between two looks of Airflow's at the run.
        :param on_state: is called with the run's state whenever that is another.
        :raises RunFailed: the run ended otherwise; ``.run`` is that run.
        :raises WaitTimeout: the time is over; ``.run`` is what was last seen.
        :raises RunNotFound: there is no such run, or it was deleted meanwhile.
        """
        return self._run(
            self._api.wait_for_result(dag_id, run_id, timeout=timeout, interval=interval, on_state=on_state)
        )

    def pause(self, dag_id: str) -> None:
        """Pause a DAG: its runs stay queued.

        :raises DagNotFound: Airflow has no such DAG.
        """
        self._run(self._api.set_paused(dag_id, True))

    def unpause(self, dag_id: str) -> None:
        """Let a paused DAG run.

        :raises DagNotFound: Airflow has no such DAG.
        """
        self._run(self._api.set_paused(dag_id, False))

    def get_variable(self, key: str) -> str:
        """Read a variable as Airflow shows it.

        Airflow shows ``***`` where the key sounds like a secret, and writes JSON anew
        (airflow/api_fastapi/core_api/datamodels/variables.py).

        :raises VariableNotFound: Airflow has no such variable in its database.
        """
        return self._run(self._api.get_variable(key))

    def set_variable(self, key: str, value: str, description: str | None = None) -> None:
        """Create a variable or update it.

        :param description: left as it is when None.
        """
        self._run(self._api.set_variable(key, value, description))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def _run(self, operation: Operation[T]) -> T:
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
                    reply = self._perform(command)
                except Exception as error:  # the operation decides what it means
                    failure = error

    def _perform(self, command: Command) -> Any:
        if isinstance(command, Request):
            return self._send(command)
        if isinstance(command, Follow):
            return self._read_lines(command)
        if isinstance(command, Sleep):
            time.sleep(command.seconds)
            return None
        if isinstance(command, Ask):
            return _plain_value(command.provider())
        with self._lock:
            return self._run(command.operation)

    def _send(self, request: Request) -> Response:
        with translated(request):
            reader = BodyReader(request, self._timeout)
            answer = self._http.send(http_request(self._http, self._url, request), stream=True)
            with closing(answer):
                for chunk in answer.iter_bytes():
                    reader.add(chunk)
            return response_of(answer, reader)

    def _read_lines(self, follow: Follow) -> Response:
        request = follow.request
        with translated(request):
            reader = LineReader(follow, self._timeout)
            pause = min(follow.pause, follow.within)
            answer = self._http.send(http_request(self._http, self._url, request, pause=pause), stream=True)
            with closing(answer):
                for chunk in answer.iter_bytes():
                    if reader.add(answer.status_code, chunk):
                        break
            return reader.response(answer)


def _plain_value(value: Any) -> Any:
    if inspect.iscoroutine(value):
        value.close()
        raise AirflowUsageError("an asynchronous provider needs AsyncAirflowClient", reason="bad_credentials")
    return value
