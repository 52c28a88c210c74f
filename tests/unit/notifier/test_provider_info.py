"""What Airflow's provider manager is told."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import airflow
import jsonschema
import pytest

from ringback_notifier._destination import CONNECTION_TYPE
from ringback_notifier.hooks import RingbackHook
from ringback_notifier.provider import get_provider_info

INFO = get_provider_info()


def test_it_fits_the_schema_of_the_installed_airflow() -> None:
    """A misfit would keep every component of Airflow from starting."""
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(INFO, schema)


def test_its_name_is_the_distributions() -> None:
    """Airflow refuses a provider whose package has another name."""
    (entry_point,) = [
        point
        for point in importlib.metadata.entry_points(group="apache_airflow_provider")
        if point.dist is not None and point.dist.name == INFO["package-name"]
    ]
    assert entry_point.load()() == INFO
    assert INFO["versions"] == [importlib.metadata.version(INFO["package-name"])]


def test_every_name_in_it_can_be_imported() -> None:
    """Airflow imports them by name, long after the provider was read."""
    names = [*INFO["notifications"], *(kind["hook-class-name"] for kind in INFO["connection-types"])]
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)
    for hook in INFO["hooks"]:
        for module in hook["python-modules"]:
            importlib.import_module(module)


def test_the_connection_type_is_the_one_that_is_read() -> None:
    """Form, hook and parser agree."""
    (kind,) = INFO["connection-types"]
    assert kind["connection-type"] == CONNECTION_TYPE == RingbackHook.conn_type


def test_every_option_is_documented_and_every_documented_option_is_read() -> None:
    """The configuration reference tells no stories."""
    source = Path(importlib.import_module("ringback_notifier._config").__file__ or "").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:_text|_switch|_number|_count)\("(\w+)"', source))
    assert set(INFO["config"]["ringback"]["options"]) == read


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a fresh Airflow says of the provider."""
    code = """
import json
from airflow.providers_manager import ProvidersManager
from airflow.configuration import conf
from ringback_notifier._config import *
manager = ProvidersManager()
hook = manager.hooks["ringback"]
print("SEEN" + json.dumps({
    "package": hook.package_name,
    "class": hook.hook_class_name,
    "form": sorted(name for name in manager.connection_form_widgets if "ringback" in name),
    "fields": manager.field_behaviours["ringback"]["relabeling"],
    "config": sorted(dict(manager.provider_configs)["airflow-ringback"]["ringback"]["options"]),
    "notification": "ringback_notifier._notifier.CompletionNotifier" in manager.notification,
    "timeout": conf.getfloat("ringback", "attempt_timeout"),
    "source": conf.get("ringback", "source", fallback="unset"),
    "outbox_url": conf.get("ringback", "outbox_url"),
    "sensitive": ("ringback", "outbox_url") in conf.sensitive_config_values,
    "ours": [outbox_url(), listener_enabled(), callback_grace(), retention(), relay_host_concurrency()],
}))
"""
    home = tmp_path_factory.mktemp("airflow")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__RINGBACK")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**environment, "AIRFLOW_HOME": str(home), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.split("SEEN")[1])
    return {**answer, "home": str(home)}


def test_airflow_sees_the_connection_type(seen: dict[str, object]) -> None:
    """With the hook, the relabelled fields and the extra ones."""
    assert seen["package"] == "airflow-ringback"
    assert seen["class"] == "ringback_notifier.hooks.RingbackHook"
    assert seen["fields"] == {"password": "Signing keys", "extra": "Extra (allow, headers, …)"}
    assert seen["form"] == [f"extra__ringback__{name}" for name in ("ca_bundle", "client_cert", "client_key")]


def test_airflow_sees_the_configuration(seen: dict[str, object]) -> None:
    """Options have their defaults without being written down."""
    assert seen["config"] == sorted(INFO["config"]["ringback"]["options"])
    assert seen["timeout"] == 10
    assert seen["source"] in (None, "unset", "")


def test_the_outbox_is_in_airflows_home_and_its_url_is_a_secret(seen: dict[str, object]) -> None:
    """A password in it is masked in the configuration view, and it may come from a command or a secrets backend."""
    url = f"sqlite:///{seen['home']}/ringback/outbox.db"
    assert seen["outbox_url"] == url
    assert seen["sensitive"] is True
    assert seen["ours"] == [url, True, 10.0, 14 * 86_400.0, 20]


def test_airflow_sees_the_notification(seen: dict[str, object]) -> None:
    """It is listed among the notifiers."""
    assert seen["notification"] is True


def test_the_outbox_url_says_how_to_write_a_percent_sign() -> None:
    """Passwords in URLs are percent-encoded, and airflow.cfg has a meaning of its own for the sign."""
    assert "%%" in INFO["config"]["ringback"]["options"]["outbox_url"]["description"]
