"""What can go wrong between a caller and Airflow's REST API.

AirflowError (a ReceiverError)
├── AirflowUsageError       nothing was sent: an argument or a setting is wrong (also a ValueError)
├── AirflowUnreachable      no usable answer came; the same request may work later
├── AirflowProtocolError    an answer came that is not Airflow's: a web page, a redirect, far too much
├── AirflowAuthError        the credentials are refused, or do not suffice
├── AirflowRequestRejected  Airflow understood the request and refused it
│   ├── DagNotFound
│   ├── RunNotFound
│   ├── VariableNotFound
│   └── RunConflict         the run id, or the logical date, is taken by another run
├── RunFailed               the run ended, and not with success
└── WaitTimeout             the run did not end in time (also a TimeoutError)

Every error has a ``reason``, a short code that does not change, and a ``status``, the HTTP status that
Airflow answered, if it did. No message ever holds a password or a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringback_receiver.errors import ReceiverError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ringback_receiver._dag_run import DagRun

__all__ = [
    "AirflowError",
    "AirflowUsageError",
    "AirflowUnreachable",
    "AirflowProtocolError",
    "AirflowAuthError",
    "AirflowRequestRejected",
    "DagNotFound",
    "RunNotFound",
    "VariableNotFound",
    "RunConflict",
    "RunFailed",
    "WaitTimeout",
]


class AirflowError(ReceiverError):
    """Whatever the Airflow client raises on its own account."""

    reason = "airflow_error"
    status: int | None = None

    def __init__(self, message: str, *, reason: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason
        if status is not None:
            self.status = status


class AirflowUsageError(AirflowError, ValueError):
    """Nothing was sent, because an argument or a setting cannot be right.

    Reasons: ``bad_url``, ``bad_credentials``, ``bad_setting``, ``bad_identifier``, ``bad_conf``,
    ``bad_logical_date``.
    """

    reason = "bad_setting"


class AirflowUnreachable(AirflowError):
    """No usable answer came; the same request may work later.

    Reasons: ``connection_failed``, ``timed_out``, ``server_error`` (5xx), ``throttled`` (429), and
    ``unconfirmed``: a trigger got no answer, and then Airflow refused to say whether its run exists.
    ``retry_after`` is the number of seconds that Airflow asked to wait, if it did. ``run_id`` is the run
    that a trigger may or may not have created: triggering again with it is safe. ``unanswered`` tells
    whether the request itself was sent, and not only one for a token.
    """

    reason = "connection_failed"
    retry_after: float | None = None
    run_id: str | None = None
    unanswered: bool = False


class AirflowProtocolError(AirflowError):
    """What answered does not speak Airflow's REST API; most often the base URL is wrong.

    Reasons: ``unexpected_answer``, ``redirected``, ``too_large``.
    """

    reason = "unexpected_answer"


class AirflowAuthError(AirflowError):
    """Airflow refuses the credentials, or they do not suffice.

    Reasons: ``credentials_refused``, ``unauthorized`` (401 with a fresh token), ``forbidden`` (403),
    ``bad_token`` (a provider gave something that is no token).
    """

    reason = "unauthorized"


class AirflowRequestRejected(AirflowError):
    """Airflow understood the request and refused it.

    ``details`` holds one line for each thing that Airflow found wrong, naming the field where it does.
    """

    reason = "rejected"
    details: tuple[str, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        status: int | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, reason=reason, status=status)
        self.details = details


class DagNotFound(AirflowRequestRejected):
    """Airflow has no such DAG."""

    reason = "dag_not_found"


class RunNotFound(AirflowRequestRejected):
    """Airflow has no such DAG run."""

    reason = "run_not_found"


class VariableNotFound(AirflowRequestRejected):
    """Airflow has no such variable."""

    reason = "variable_not_found"


class RunConflict(AirflowRequestRejected):
    """Another run has this run id or this logical date."""

    reason = "run_conflict"


class RunFailed(AirflowError):
    """The run ended without success; ``run`` is what Airflow said about it last."""

    reason = "run_failed"

    def __init__(self, run: DagRun) -> None:
        super().__init__(f"DAG run {run.run_id!r} of {run.dag_id!r} ended in state {run.state!r}: {run.run_url}")
        self.run = run

    def __reduce__(self) -> tuple[Callable[..., RunFailed], tuple[DagRun]]:
        return type(self), (self.run,)


class WaitTimeout(AirflowError, TimeoutError):
    """The run did not end in time; ``run`` is what was last seen of it, None if it was never seen."""

    reason = "wait_timeout"

    def __init__(self, message: str, *, run: DagRun | None = None) -> None:
        super().__init__(message)
        self.run = run
