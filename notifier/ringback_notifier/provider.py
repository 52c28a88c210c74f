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


def _option(kind: str, default: str | None, description: str, **more: Any) -> dict[str, Any]:
    option = {"description": description, "version_added": "0.1.0", "type": kind, "example": None, "default": default}
    return {**option, **more}


_CONFIG = {
    "description": "Completion callbacks for callers outside Airflow.",
    "options": {
        "source": _option(
            "string",
            None,
            "This deployment's name in events (the CloudEvents source). It must be the same in every component. "
            "The default is [api] base_url.",
            example="https://airflow.example",
        ),
        "attempt_timeout": _option(
            "float",
            "10",
            "Seconds for one delivery attempt: resolving, connecting, sending, the answer. At most 30.",
        ),
        "callback_budget": _option(
            "float",
            "10",
            "Seconds that one DAG-run callback may take in the DAG processor, all its attempts together. At most "
            "three fifths of [dag_processor] dag_file_processor_timeout, which all callbacks of a file share.",
        ),
        "outbox_url": _option(
            "string",
            "sqlite:///{AIRFLOW_HOME}/ringback/outbox.db",
            "Where events wait for the relay: an SQLite file, where all of Airflow runs on one machine, or a "
            "PostgreSQL database. It must be the same in every component. Never Airflow's own database. "
            "In airflow.cfg, write %% for every % in it.",
            example="postgresql://ringback:…@db.example/ringback",
            sensitive=True,
        ),
        "listener": _option(
            "boolean",
            "True",
            "Whether the scheduler and the API server note in the outbox that a run has ended, so that the relay "
            "knows within milliseconds instead of at its next sweep.",
        ),
        "callback_grace": _option(
            "float",
            "10",
            "Seconds that the relay leaves a run to the DAG's own callback, whose report knows the result and the "
            "failed tasks. From 0 to 60.",
        ),
        "retention_days": _option(
            "float",
            "14",
            "Days that delivered, refused and dead events are kept in the outbox. At least 1.",
        ),
        "sweep_interval": _option(
            "float",
            "15",
            "Seconds between two sweeps of Airflow's runs for endings that nobody reported. From 1 to 3600.",
        ),
        "sweep_overlap": _option(
            "float",
            "180",
            "Seconds by which a sweep looks behind the one before it, for runs become visible late. From 90 to 3600.",
        ),
        "sweep_lookback": _option(
            "float",
            "600",
            "Seconds that the first sweep with a new outbox looks back.",
        ),
        "relay_concurrency": _option(
            "integer",
            "100",
            "Delivery attempts that one relay makes at a time. From 1 to 1000.",
        ),
        "relay_host_concurrency": _option(
            "integer",
            "20",
            "Those of them that go to one host at a time.",
        ),
        "publish_keys": _option(
            "string",
            "default",
            "Names of the destinations whose public keys the API server publishes under /ringback/keys/<name>, with "
            "commas between them: what receivers discover keys from. Upper and lower case matter. Empty: there is no "
            "such address. A change needs a restart of the API server.",
            example="default,portal",
        ),
    },
}
