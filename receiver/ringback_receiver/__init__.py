"""The caller's side: trigger an Airflow DAG, and be rung back with a verified result when the run ends.

Importing this loads nothing: every name is imported when it is first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ringback_receiver._airflow_async_client import AsyncAirflowClient
    from ringback_receiver._airflow_client import AirflowClient
    from ringback_receiver._airflow_errors import (
        AirflowAuthError,
        AirflowError,
        AirflowProtocolError,
        AirflowRequestRejected,
        AirflowUnreachable,
        AirflowUsageError,
        DagNotFound,
        RunConflict,
        RunFailed,
        RunNotFound,
        VariableNotFound,
        WaitTimeout,
    )
    from ringback_receiver._airflow_runs import RunsFound
    from ringback_receiver._answer import Answer
    from ringback_receiver._completion import Completion
    from ringback_receiver._dag_run import DagRun, RunResult
    from ringback_receiver._discover import Discover
    from ringback_receiver._receiver import Receiver
    from ringback_receiver._run_handle import RunHandle
    from ringback_receiver._store import FailingCall
    from ringback_receiver._sync_receiver import SyncReceiver, SyncRunHandle
    from ringback_receiver.errors import (
        CompletionFailed,
        CompletionTimeout,
        ConfigurationError,
        GiveUp,
        KeysUnavailable,
        MissingDependency,
        ReceiverError,
        ReceiverNotOpen,
        RequestAbandoned,
        RequestCancelled,
        RequestError,
        RequestExpired,
        StoreError,
        TriggerUnconfirmed,
        UnknownRequest,
    )

__all__ = [
    # being rung back
    "Receiver",
    "Discover",
    "RunHandle",
    "SyncReceiver",
    "SyncRunHandle",
    "Completion",
    "Answer",
    "FailingCall",
    # talking to Airflow
    "AirflowClient",
    "AsyncAirflowClient",
    "DagRun",
    "RunsFound",
    "RunResult",
    # errors of the receiver
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
    # errors of the Airflow client
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

_MODULE_OF = {
    "Receiver": "_receiver",
    "Discover": "_discover",
    "RunHandle": "_run_handle",
    "SyncReceiver": "_sync_receiver",
    "SyncRunHandle": "_sync_receiver",
    "Completion": "_completion",
    "Answer": "_answer",
    "FailingCall": "_store",
    "AirflowClient": "_airflow_client",
    "AsyncAirflowClient": "_airflow_async_client",
    "DagRun": "_dag_run",
    "RunsFound": "_airflow_runs",
    "RunResult": "_dag_run",
    "ReceiverError": "errors",
    "ConfigurationError": "errors",
    "MissingDependency": "errors",
    "ReceiverNotOpen": "errors",
    "KeysUnavailable": "errors",
    "StoreError": "errors",
    "RequestError": "errors",
    "UnknownRequest": "errors",
    "TriggerUnconfirmed": "errors",
    "CompletionTimeout": "errors",
    "RequestCancelled": "errors",
    "RequestAbandoned": "errors",
    "RequestExpired": "errors",
    "CompletionFailed": "errors",
    "GiveUp": "errors",
    "AirflowError": "_airflow_errors",
    "AirflowUsageError": "_airflow_errors",
    "AirflowUnreachable": "_airflow_errors",
    "AirflowProtocolError": "_airflow_errors",
    "AirflowAuthError": "_airflow_errors",
    "AirflowRequestRejected": "_airflow_errors",
    "DagNotFound": "_airflow_errors",
    "RunNotFound": "_airflow_errors",
    "VariableNotFound": "_airflow_errors",
    "RunConflict": "_airflow_errors",
    "RunFailed": "_airflow_errors",
    "WaitTimeout": "_airflow_errors",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
