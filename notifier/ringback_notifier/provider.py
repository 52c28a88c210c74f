"""What Airflow's provider manager is told: connection type, configuration section, notification.

Every component of Airflow reads this at start and refuses to run if it does not fit
``airflow/provider_info.schema.json``.
"""

from __future__ import annotations

from typing import Any

from ringback_notifier._version import VERSION

__all__ = ["get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description."""
    return {
        "package-name": "airflow-ringback",
        "name": "Ringback",
        "description": "Rings back whoever triggered a DAG run, with a signed event, when the run ends.",
        "versions": [VERSION],
        "hooks": [{"integration-name": "Ringback", "python-modules": ["ringback_notifier.hooks"]}],
        "integrations": [
            {
                "integration-name": "Ringback",
                "external-doc-url": "https://www.standardwebhooks.com/",
                "tags": ["protocol"],
            }
        ],
        "connection-types": [_CONNECTION_TYPE],
        "notifications": ["ringback_notifier._notifier.CompletionNotifier"],
        "config": {"ringback": _CONFIG},
    }


def _text_field(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "schema": {"type": ["string", "null"]}, "description": description}


_CONNECTION_TYPE = {
    "connection-type": "ringback",
    "hook-class-name": "ringback_notifier.hooks.RingbackHook",
    "hook-name": "Ringback destination",
    "ui-field-behaviour": {
        "hidden-fields": ["host", "schema", "login", "port"],
        "relabeling": {"password": "Signing keys", "extra": "Extra (allow, headers, …)"},
        "placeholders": {
            "password": "whsk_… (newest first, separated by spaces)",
            "extra": '{"allow": ["https://portal.example/airflow/"]}',
        },
    },
    "conn-fields": {
        "ca_bundle": _text_field("CA bundle", "Path of a PEM file with the only CAs to trust"),
        "client_cert": _text_field("Client certificate", "Path of a PEM file to present to receivers"),
        "client_key": _text_field("Client key", "Path of its key, if that is in another file"),
    },
}

_CONFIG = {
    "description": "Completion callbacks for callers outside Airflow.",
    "options": {
        "source": {
            "description": (
                "This deployment's name in events (the CloudEvents source). It must be the same in every component. "
                "The default is [api] base_url."
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "https://airflow.example",
            "default": None,
        },
        "attempt_timeout": {
            "description": "Seconds for one delivery attempt: resolving, connecting, sending, the answer. At most 30.",
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "10",
        },
        "callback_budget": {
            "description": (
                "Seconds that one DAG-run callback may take in the DAG processor, all its attempts together. At most "
                "three fifths of [dag_processor] dag_file_processor_timeout, which all callbacks of a file share."
            ),
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "10",
        },
    },
}
