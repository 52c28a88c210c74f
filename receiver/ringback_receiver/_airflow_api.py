"""Airflow's REST API v2 as plain generators: what to send, in which order, and what the answers mean.

Nothing here does I/O; :mod:`._airflow_wire` says how a driver runs an operation. Checked against Airflow
3.3.2 (airflow/api_fastapi/core_api/routes/public).
"""

from __future__ import annotations

import json
import random
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from ringback_receiver._airflow_answers import decode, details, error_of
from ringback_receiver._airflow_errors import (
    AirflowError,
    AirflowProtocolError,
    AirflowUnreachable,
    AirflowUsageError,
    DagNotFound,
    RunConflict,
    RunFailed,
    RunNotFound,
    VariableNotFound,
    WaitTimeout,
)
from ringback_receiver._airflow_runs import RunKey, RunsFound, find_runs
from ringback_receiver._airflow_token import Credentials, TokenCache
from ringback_receiver._airflow_waiting import Tell, follow_run
from ringback_receiver._airflow_wire import Operation, Request, Response, Sleep, path
from ringback_receiver._callback_conf import untraced
from ringback_receiver._dag_run import TERMINAL_STATES, DagRun, RunResult

__all__ = ["AirflowApi"]

TRIGGER_ATTEMPTS = 3
FIRST_RETRY = 0.5
LONGEST_RETRY = 10.0
"""Seconds before a trigger is sent again; the second wait is twice the first."""
POLL_GROWTH = 1.5

_RUN_ID = re.compile(r"[A-Za-z0-9_.~:+-]+")
"""[scheduler] allowed_run_id_pattern, as Airflow ships it."""


class _Variable(msgspec.Struct):
    value: str | None = None


class AirflowApi:
    """The operations, and the one token that they share.

    :param url: the base URL, for links to Airflow's UI.
    :param monotonic: a clock in seconds that only goes forward.
    :param wall: a clock in Unix seconds.
    :param chance: a random number in [0, 1).
    :param entropy: so many random bytes.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._url = url
        self._tokens = TokenCache(credentials, monotonic=monotonic, wall=wall)
        self._monotonic = monotonic
        self._wall = wall
        self._chance = chance
        self._entropy = entropy

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime | None = None,
        note: str | None = None,
    ) -> Operation[DagRun]:
        """Create a run once, however often it is sent: the run id is the idempotency key."""
        run_id = self._new_run_id() if run_id is None else run_id
        _check_run_id(run_id)
        if logical_date is not None and logical_date.utcoffset() is None:
            raise AirflowUsageError("logical_date must have a time zone", reason="bad_logical_date")
        body: dict[str, Any] = {
            "dag_run_id": run_id,
            "logical_date": None if logical_date is None else logical_date.isoformat(),  # 422 when left out
            "conf": _plain(conf),
        }
        if note is not None:
            body["note"] = note
        request = Request(method="POST", path=path("/api/v2/dags/{dag_id}/dagRuns", dag_id=dag_id), json=body)
        lost: list[AirflowUnreachable] = []
        try:
            response = yield from self._send_again(request, lost)
            if response.status == 409:
                return (yield from self._own_run(response, body, dag_id, logical_date))
            if response.status != 200:
                raise error_of(request, response, not_found=DagNotFound, names=dag_id)
            return self._run(request, response)
        except AirflowUnreachable as error:
            error.run_id = run_id
            raise
        except RunConflict:
            raise  # Airflow was asked for the run, and it is not ours
        except AirflowError as error:
            if not lost:
                raise
            raise _unconfirmed(error, lost[0], run_id) from error

    def get_run(self, dag_id: str, run_id: str) -> Operation[DagRun]:
        """Ask for a run."""
        request = Request(
            method="GET", path=path("/api/v2/dags/{dag_id}/dagRuns/{run_id}", dag_id=dag_id, run_id=run_id)
        )
        response = yield from self._tokens.call(request)
        if response.status != 200:
            raise error_of(request, response, not_found=RunNotFound, names=run_id)
        return self._run(request, response)

    def find_runs(self, runs: Iterable[RunKey]) -> Operation[RunsFound]:
        """Ask for many runs in few requests."""
        return (yield from find_runs(self._tokens.call, runs, run_url=self._run_url))

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        poll_interval: float = 1.0,
        max_poll_interval: float = 30.0,
    ) -> Operation[DagRun]:
        """Ask again and again, ever more slowly, until the run has ended."""
        deadline = self._deadline(timeout, poll_interval, max_poll_interval)
        return (yield from self._follow(None, dag_id, run_id, deadline, poll_interval, max_poll_interval))

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
    ) -> Operation[DagRun]:
        """Trigger, then wait; the timeout covers both."""
        deadline = self._deadline(timeout, poll_interval, max_poll_interval)
        run = yield from self.trigger(dag_id, conf=conf, run_id=run_id, logical_date=logical_date, note=note)
        return (yield from self._follow(run, dag_id, run.run_id, deadline, poll_interval, max_poll_interval))

    def wait_for_result(
        self, dag_id: str, run_id: str, *, timeout: float, interval: float = 1.0, on_state: Tell | None = None
    ) -> Operation[RunResult]:
        """Wait by Airflow's ``/wait``, or by asking where there is none."""
        said: str | None = None
        result: Any = None

        def tell(state: str) -> None:
            nonlocal said
            if state != said:
                said = state
                if on_state is not None:
                    on_state(state)

        def look(state: str) -> None:
            nonlocal result
            if state not in TERMINAL_STATES:  # cleared meanwhile: the result is that of an end that no longer counts
                result = None
            tell(state)

        longest = max(interval, 30.0)
        deadline = self._deadline(timeout, interval, longest)
        result = yield from follow_run(
            self._tokens.call, dag_id, run_id, interval=interval, left=lambda: deadline - self._monotonic(), tell=tell
        )
        run = yield from self._follow(
            None, dag_id, run_id, deadline, interval, longest, look, answering=said is not None
        )
        return RunResult(run=run, result=result)

    def set_paused(self, dag_id: str, paused: bool) -> Operation[None]:
        """Pause or unpause a DAG; doing so twice is no error."""
        request = Request(
            method="PATCH",
            path=path("/api/v2/dags/{dag_id}", dag_id=dag_id),
            params={"update_mask": "is_paused"},
            json={"is_paused": paused},
        )
        response = yield from self._tokens.call(request)
        if response.status != 200:
            raise error_of(request, response, not_found=DagNotFound, names=dag_id)

    def get_variable(self, key: str) -> Operation[str]:
        """Read a variable."""
        request = Request(method="GET", path=path("/api/v2/variables/{key}", key=key))
        response = yield from self._tokens.call(request)
        if response.status != 200:
            raise error_of(request, response, not_found=VariableNotFound, names=key)
        value = decode(request, response, _Variable).value
        if value is None:  # what Airflow answers when it lacks the Fernet key
            raise AirflowProtocolError(f"Airflow gave no value for the variable {key!r}", status=200)
        return value

    def set_variable(self, key: str, value: str, description: str | None = None) -> Operation[None]:
        """Update a variable, or create it; whoever creates it at the same time does no harm."""
        body = {"key": key, "value": value}
        if description is not None:
            body["description"] = description
        update = Request(
            method="PATCH",
            path=path("/api/v2/variables/{key}", key=key),
            params={} if description is not None else {"update_mask": "value"},
            json=body,
        )
        create = Request(method="POST", path="/api/v2/variables", json=body)
        response = yield from self._tokens.call(update)
        request = update
        if response.status == 404:
            missing = error_of(update, response, not_found=VariableNotFound, names=key)
            if not isinstance(missing, VariableNotFound):
                raise missing
            request, response = create, (yield from self._tokens.call(create))
            if response.status == 409:
                request, response = update, (yield from self._tokens.call(update))
        if response.status not in (200, 201):
            raise error_of(request, response, not_found=VariableNotFound, names=key)

    def _deadline(self, timeout: float, poll_interval: float, max_poll_interval: float) -> float:
        if not (timeout >= 0 and 0 < poll_interval <= max_poll_interval):
            raise AirflowUsageError("timeout must be 0 or more, and 0 < poll_interval <= max_poll_interval")
        return self._monotonic() + timeout

    def _follow(
        self,
        run: DagRun | None,
        dag_id: str,
        run_id: str,
        deadline: float,
        poll_interval: float,
        max_poll_interval: float,
        tell: Tell = lambda state: None,
        *,
        answering: bool = False,
    ) -> Operation[DagRun]:
        """Poll until the run has ended, outliving whatever may pass: an Airflow that restarts or is busy.

        :param answering: Airflow has told of the run before.
        """
        interval = poll_interval
        trouble: AirflowUnreachable | AirflowProtocolError | None = None
        while True:
            if run is not None and run.finished:
                if run.succeeded:
                    return run
                raise RunFailed(run)
            if run is not None or trouble is not None:
                left = deadline - self._monotonic()
                if left <= 0:
                    state = "never seen" if run is None else run.state
                    raise WaitTimeout(
                        f"run {run_id!r} of {dag_id!r} did not end in time (last state: {state})", run=run
                    ) from trouble
                asked = min(getattr(trouble, "retry_after", None) or 0.0, max_poll_interval)
                yield Sleep(min(left, max(asked, self._jittered(interval))))
                interval = min(interval * POLL_GROWTH, max_poll_interval)
            try:
                run = yield from self.get_run(dag_id, run_id)
                trouble = None
                tell(run.state)
            except AirflowUnreachable as error:
                trouble = error
            except AirflowProtocolError as error:
                if run is None and not answering:
                    raise  # a wrong base URL; once Airflow has answered it is a proxy that lost its way
                trouble = error

    def _send_again(self, request: Request, lost: list[AirflowUnreachable]) -> Operation[Response]:
        """Send a trigger until there is an answer.

        :param lost: is given the error of each attempt that may have created the run, answered or not; one
            that was throttled, or that failed for want of a token, has not.
        """
        wait = FIRST_RETRY
        for attempt in range(1, TRIGGER_ATTEMPTS + 1):
            try:
                response = yield from self._tokens.call(request)
                if response.status != 429 and response.status < 500:
                    return response
                raise error_of(request, response)
            except AirflowUnreachable as error:
                if error.unanswered or error.reason == "server_error":
                    lost.append(error)
                if attempt == TRIGGER_ATTEMPTS:
                    raise
                asked = min(error.retry_after or 0.0, LONGEST_RETRY)
            yield Sleep(max(asked, self._jittered(wait)))
            wait *= 2
        raise AssertionError("unreachable")  # pragma: no cover

    def _own_run(
        self,
        response: Response,
        body: Mapping[str, Any],
        dag_id: str,
        logical_date: datetime | None,
    ) -> Operation[DagRun]:
        """Settle a 409: the run that our lost trigger created is ours, any other is a conflict.

        Airflow says only "Unique constraint violation", for the run id and for the logical date alike.
        """
        run_id = body["dag_run_id"]
        try:
            run = yield from self.get_run(dag_id, run_id)
        except RunNotFound:
            raise RunConflict(
                f"another run of {dag_id!r} has the logical date {body['logical_date']}",
                reason="logical_date_taken",
                status=409,
                details=details(response),
            ) from None
        if untraced(run.conf) == untraced(body["conf"]) and run.logical_date == logical_date:
            return run
        raise RunConflict(
            f"{dag_id!r} already has a run {run_id!r} with another conf or logical date",
            status=409,
            details=details(response),
        )

    def _run(self, request: Request, response: Response) -> DagRun:
        run = decode(request, response, DagRun)
        return msgspec.structs.replace(run, run_url=self._run_url(run.dag_id, run.run_id))

    def _run_url(self, dag_id: str, run_id: str) -> str:
        return self._url + path("/dags/{dag_id}/runs/{run_id}", dag_id=dag_id, run_id=run_id)

    def _new_run_id(self) -> str:
        """Make a run id that sorts by time and that nobody else makes."""
        moment = datetime.fromtimestamp(self._wall(), timezone.utc)
        return f"ringback__{moment:%Y%m%dT%H%M%S}.{moment.microsecond:06d}Z_{self._entropy(8).hex()}"

    def _jittered(self, seconds: float) -> float:
        """Take off up to a quarter, so that many callers do not ask in step."""
        return seconds * (1 - self._chance() / 4)


def _unconfirmed(error: AirflowError, lost: AirflowUnreachable, run_id: str) -> AirflowUnreachable:
    """Make the error of a refusal that says nothing about what an earlier attempt has done."""
    unconfirmed = AirflowUnreachable(
        f"{error}; but run {run_id!r} may exist, for an earlier attempt failed: {lost}",
        reason="unconfirmed",
        status=error.status,
    )
    unconfirmed.run_id = run_id
    return unconfirmed


def _check_run_id(run_id: str) -> None:
    if not _RUN_ID.fullmatch(run_id):
        raise AirflowUsageError(
            f"run_id {run_id!r} may hold only letters, digits and _ . ~ : + -", reason="bad_identifier"
        )


def _plain(conf: Mapping[str, Any] | None) -> dict[str, Any]:
    """Turn conf into what JSON makes of it, so that it compares with what Airflow gives back."""
    try:
        plain = json.loads(json.dumps(dict(conf or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AirflowUsageError(f"conf cannot be written as JSON: {error}", reason="bad_conf") from error
    return plain  # type: ignore[no-any-return]
