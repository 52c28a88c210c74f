"""What can go wrong between the relay and Airflow.

    NotifierError
    ├── ConnectionNotFound        Airflow finds no connection for the relay, maybe for a while only
    └── RelayApiError             Airflow's API did not give what the relay asked for
        ├── RunsUnavailable       no answer in time, or one that says that Airflow failed
        ├── RunsDenied            the credentials, or what they may do, do not suffice
        └── RunsUnreadable        an answer that is none of Airflow's
            └── RunsTooLarge      an answer of more bytes than the relay reads

Messages name the address without credentials and the mend; none carries a token or a password.
"""

from __future__ import annotations

from ringback_notifier.errors import NotifierError

__all__ = [
    "ConnectionNotFound",
    "RelayApiError",
    "RunsDenied",
    "RunsTooLarge",
    "RunsUnavailable",
    "RunsUnreadable",
]


class ConnectionNotFound(NotifierError):
    """Airflow finds no connection for the relay; it says the same while its database is down."""

    reason = "connection_not_found"


class RelayApiError(NotifierError):
    """Airflow's REST API did not give what the relay asked for."""

    reason = "airflow_api"
    status: int | None = None
    """Of the answer, if that is what was wrong."""


class RunsUnavailable(RelayApiError):
    """Airflow's API cannot be reached, is too slow or too busy, or fails: perhaps over one of the runs asked for."""

    reason = "airflow_unavailable"


class RunsDenied(RelayApiError):
    """Airflow refuses the relay's credentials, or they do not allow reading runs."""

    reason = "airflow_denied"


class RunsUnreadable(RelayApiError):
    """Whatever answered, it did not answer as Airflow's REST API does."""

    reason = "airflow_unreadable"


class RunsTooLarge(RunsUnreadable):
    """An answer of more bytes than the relay reads: somebody put a book into a run's conf."""

    reason = "airflow_too_large"
