"""What can go wrong in the receiver.

    ReceiverError
    ├── ConfigurationError      an argument of the receiver cannot be right (also a ValueError)
    ├── MissingDependency       an optional package is needed and not installed (also an ImportError)
    ├── ReceiverNotOpen         used before it was opened, or after it was closed (also a RuntimeError)
    ├── KeysUnavailable         the keys are to be discovered, and none is known yet
    ├── StoreError              the store cannot do its work now; the same may work later
    ├── RequestError            about one request; carries its ``request_id``
    │   ├── UnknownRequest      the store has never heard of it (also a LookupError)
    │   ├── TriggerUnconfirmed  Airflow may or may not have created the run; the request stays pending
    │   ├── CompletionTimeout   the run did not end in time; the request stays pending (also a TimeoutError)
    │   │   └── RequestExpired  the request's own deadline passed; waiting for it is over
    │   ├── RequestCancelled    nobody wants its completion any more
    │   └── RequestAbandoned    its run was never created
    ├── CompletionFailed        the run ended, and not with success
    ├── GiveUp                  raised by a handler of yours: trying again is no use
    └── AirflowError            Airflow's REST API; its own tree is in ``_airflow_errors.py``

Every error carries a machine-readable ``reason`` and the HTTP ``status`` that suits it.  Those of an
incoming event are ``ringback_protocol.VerificationError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ringback_receiver._completion import Completion
    from ringback_receiver._run_handle import RunHandle

__all__ = [
    "ReceiverError",
    "ConfigurationError",
    "MissingDependency",
    "ReceiverNotOpen",
    "KeysUnavailable",
    "StoreError",
    "RequestError",
    "UnknownRequest",
    "TriggerUnconfirmed",
    "CompletionTimeout",
    "RequestCancelled",
    "RequestAbandoned",
    "RequestExpired",
    "CompletionFailed",
    "GiveUp",
]


class ReceiverError(Exception):
    """Root of everything the receiver raises on purpose."""

    reason: str = "receiver_error"
    status: int | None = 500


class ConfigurationError(ReceiverError, ValueError):
    """An argument of the receiver cannot be right; the message names it."""

    reason = "configuration"


class MissingDependency(ReceiverError, ImportError):
    """An optional package is needed and not installed; the message says how to install it."""

    reason = "missing_dependency"


class ReceiverNotOpen(ReceiverError, RuntimeError):
    """The receiver is used before it was opened, or after it was closed."""

    reason = "not_open"

    def __init__(self) -> None:
        super().__init__("the receiver is not open: use `async with receiver:` or FastAPI(lifespan=receiver.lifespan)")


class KeysUnavailable(ReceiverError):
    """The keys are to be discovered, and none is known now; nothing was verified, and the same may work later."""

    reason = "keys_unavailable"
    status: int = 503


class StoreError(ReceiverError):
    """The store cannot do its work now; nothing was recorded, and the same may work later."""

    reason = "store_unavailable"
    status = 503


class RequestError(ReceiverError):
    """Something about one request.

    :param request_id: of the request.
    """

    def __init__(self, message: str, *, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class UnknownRequest(RequestError, LookupError):
    """The store has never heard of this request id."""

    reason = "unknown_request"
    status = 404


class TriggerUnconfirmed(RequestError):
    """Airflow may or may not have created the run, so the request stays pending.

    The cause (``__cause__``) is what happened.  ``handle`` can be waited on: if the run exists, it rings.
    To make sure that it does, trigger again with ``run_id=handle.run_id`` and the same arguments.
    """

    reason = "trigger_unconfirmed"
    status = 502

    def __init__(self, message: str, *, handle: RunHandle) -> None:
        super().__init__(message, request_id=handle.request_id)
        self.handle = handle


class CompletionTimeout(RequestError, TimeoutError):
    """The run did not end in time; the request stays pending and can be waited on again."""

    reason = "completion_timeout"
    status = 504


class RequestCancelled(RequestError):
    """The request was cancelled, so its completion is refused with 410."""

    reason = "cancelled"
    status = 410


class RequestAbandoned(RequestError):
    """Airflow refused to create the run, or does not know it, so there is nothing to wait for.

    Should its event arrive all the same, the request is resolved, and its completion can be had.
    """

    reason = "abandoned"
    status = 410


class RequestExpired(CompletionTimeout):
    """The request's deadline passed without a completion; waiting again is no use.

    Whoever tells it from other timeouts catches it first.
    """

    reason = "expired"


class CompletionFailed(ReceiverError):
    """The run ended, and not with success.

    :param completion: what was reported.
    """

    reason = "run_failed"
    status = 502

    def __init__(self, message: str, *, completion: Completion) -> None:
        super().__init__(message)
        self.completion = completion


class GiveUp(ReceiverError):
    """Raise this in a handler if no further attempt can succeed: its turn is put aside, visible, until you retry it."""

    reason = "given_up"
