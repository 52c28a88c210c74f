"""What operators see of the provider: in ``airflow providers``, in the connection form, in the configuration."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from demo.local_airflow import LocalAirflow


def test_every_component_is_up(airflow: LocalAirflow) -> None:
    """A malformed provider would have stopped them all."""
    with airflow.api() as api:
        health = api.get("/api/v2/monitor/health").json()
    states = {name: health[name]["status"] for name in ("metadatabase", "scheduler", "triggerer", "dag_processor")}
    assert states == dict.fromkeys(states, "healthy")


def test_the_provider_is_listed(airflow: LocalAirflow) -> None:
    """``airflow providers`` knows the distribution, its connection type, its notification and its options."""
    commands = {
        "providers list": "airflow-ringback",
        "providers hooks -o json": '"connection_type": "ringback"',
        "providers notifications -o json": "CompletionNotifier",
        "config list --include-descriptions --section ringback": "callback_budget",
    }
    with ThreadPoolExecutor() as pool:
        printed = pool.map(lambda command: airflow.run(*command.split()), commands)
        for (command, expected), output in zip(commands.items(), printed, strict=True):
            assert expected in output, command


def test_the_connection_form_knows_the_type(airflow: LocalAirflow) -> None:
    """The form of the UI labels the key field and offers the certificates."""
    with airflow.api() as api:
        types = api.get("/ui/connections/hook_meta").json()
    (meta,) = [entry for entry in types if entry["connection_type"] == "ringback"]
    assert meta["hook_name"] == "Ringback destination"
    assert meta["standard_fields"]["password"]["title"] == "Signing keys"
    assert meta["standard_fields"]["host"]["hidden"]
    assert {"ca_bundle", "client_cert", "client_key"} <= meta["extra_fields"].keys()
