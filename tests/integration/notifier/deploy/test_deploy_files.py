"""The units, manifests and settings of docs/deploy.md, as far as they can be tried without systemd and Kubernetes."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from deploy_document import DOCUMENT, block, blocks, document, exec_start
from deploy_portal import KEY, delivery, free_port, portal, send

from ringback_notifier._destination import _KNOWN, parse_destination
from ringback_notifier._policy import Answer

BIN = Path(sys.executable).parent
HANDLERS = 10
"""Seconds that a closing receiver gives its handlers, by default."""
LOOK_UP = """
from ringback_notifier.relay._lookups import look_up_as_a_server
look_up_as_a_server()
from ringback_notifier._context import load_destination
load_destination("default").check_allowed("https://portal.example/airflow/completions")
"""


def option(command: list[str], name: str) -> int:
    """Return the number behind an option."""
    return int(command[command.index(name) + 1])


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the document's Kubernetes objects by kind and name."""
    objects = [found for text in blocks("yaml") for found in yaml.safe_load_all(text)]
    return {(found["kind"], found["metadata"]["name"]): found for found in objects}


def pod_of(deployment: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a deployment's pod and the one container in it."""
    pod: dict[str, Any] = manifests()["Deployment", deployment]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def extras() -> list[str]:
    """Return what the document shows of a destination's extra: an example, and the members of a table."""
    members = re.findall(r"^   \| `(\"\w+\": [^`]+)`", document(), re.MULTILINE)
    return [*blocks("json"), *(f"{{{member}}}" for member in members)]


def airflow_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a machine where Airflow is installed, and has no database."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    nowhere = "sqlite:////nowhere/airflow.db"
    return {**environment, "AIRFLOW_HOME": str(folder), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": nowhere, **settings}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("unit", blocks("ini"))
def test_systemd_accepts_the_units(unit: str, tmp_path: Path) -> None:
    """With our programs in place of the document's."""
    program, *_ = exec_start(unit)
    file = tmp_path / f"{Path(program).name}.service"
    file.write_text(unit.replace(program, str(BIN / Path(program).name)), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if file.name in line]) == (0, [])


def test_nothing_is_killed_before_it_had_its_time() -> None:
    """Requests, then handlers, and some seconds more."""
    unit = block("ini", "uvicorn portal:app")
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(stop) > option(exec_start(unit), "--timeout-graceful-shutdown") + HANDLERS
    pod, container = pod_of("portal")
    (_, pause) = container["lifecycle"]["preStop"]["exec"]["command"]
    waits = int(pause) + option(container["command"], "--timeout-graceful-shutdown") + HANDLERS
    assert pod["terminationGracePeriodSeconds"] > waits


def test_uvicorn_is_told_what_receivers_need() -> None:
    """Unit and manifest have the options that the receiver's limits count on; the time to shut down is their own."""
    limits = (DOCUMENT.parent / "receiver-limits.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ (uvicorn .*)$", limits.replace("\\\n", " "), re.MULTILINE)
    _, _, *options = shlex.split(line)
    pairs = set(zip(options[::2], options[1::2], strict=True))
    wanted = {pair for pair in pairs if pair[0] != "--timeout-graceful-shutdown"}
    for command in (exec_start(block("ini", "uvicorn portal:app")), pod_of("portal")[1]["command"]):
        assert wanted <= set(itertools.pairwise(command))


def test_the_manifests_fit_together() -> None:
    """Selectors, ports, volumes and probes name what is there."""
    found = manifests()
    for kind, name in found:
        if kind != "Deployment":
            continue
        spec, (pod, container) = found[kind, name]["spec"], pod_of(name)
        assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    pod, container = pod_of("portal")
    (port,) = container["ports"]
    assert option(container["command"], "--port") == port["containerPort"]
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {port["name"]}
    service = found["Service", "portal"]["spec"]
    assert service["selector"] == found["Deployment", "portal"]["spec"]["selector"]["matchLabels"]
    assert [entry["targetPort"] for entry in service["ports"]] == [port["name"]]
    (volume,) = pod["volumes"]
    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in found
    (mount,) = container["volumeMounts"]
    (store,) = [entry["value"] for entry in container["env"] if entry["name"] == "RINGBACK_STORE"]
    assert store.startswith(f"sqlite:///{mount['mountPath']}/")
    spec = found["Deployment", "portal"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate"), "two pods cannot share the file"


def test_the_probes_tell_a_broken_store_from_a_dead_process(tmp_path: Path) -> None:
    """The document's application, started with the manifest's command: ready while the store is, live in any case."""
    _, container = pod_of("portal")
    port = free_port()
    ours = {"0.0.0.0": "127.0.0.1", str(option(container["command"], "--port")): str(port)}
    command = [ours.get(argument, argument) for argument in container["command"]]

    def probe(name: str) -> int:
        url = f"http://127.0.0.1:{port}{container[name]['httpGet']['path']}"
        return httpx.get(url, trust_env=False, timeout=30).status_code

    with portal(command, port, tmp_path, callback_url=f"http://127.0.0.1:{port}/airflow/completions"):
        assert (probe("livenessProbe"), probe("readinessProbe")) == (200, 200)
        for file in tmp_path.glob("ringback.db*"):
            file.write_bytes(b"\xff" * file.stat().st_size)
        assert (probe("livenessProbe"), probe("readinessProbe")) == (200, 500)


def test_the_process_for_nothing_else_takes_events_and_nothing_else(tmp_path: Path) -> None:
    """With the manifest's command, but for the application's name."""
    _, container = pod_of("portal")
    port = free_port()
    ours = {
        "0.0.0.0": "127.0.0.1",
        str(option(container["command"], "--port")): str(port),
        "portal:app": "callbacks:app",
    }
    command = [ours.get(argument, argument) for argument in container["command"]]
    url = f"http://127.0.0.1:{port}/airflow/completions"
    with portal(command, port, tmp_path, callback_url=url):
        answers = [send(delivery(url)) for _ in range(2)]
        assert [answer.status for answer in answers if isinstance(answer, Answer)] == [202, 202]
        found = [
            httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False, timeout=30).status_code
            for path in ("/airflow/completions", "/live")
        ]
        assert found == [405, 404]


def test_a_relay_needs_no_database_of_airflows(tmp_path: Path) -> None:
    """The outbox and two connections are enough; that the API is away does not end it."""
    account = {"conn_type": "http", "host": "http://127.0.0.1:1", "login": "ringback", "password": "hush-hush"}
    environment = airflow_environment(
        tmp_path,
        AIRFLOW__RINGBACK__SOURCE="https://airflow.example",
        AIRFLOW__RINGBACK__OUTBOX_URL=f"sqlite:///{tmp_path / 'outbox.db'}",
        AIRFLOW_CONN_RINGBACK_AIRFLOW=json.dumps(account),
    )
    _, container = pod_of("ringback-relay")
    program, *arguments = exec_start(block("ini", "ringback relay"))
    assert [Path(program).name, *arguments] == container["command"]
    ringback = str(BIN / Path(program).name)
    done = subprocess.run(
        [ringback, *arguments, "--for", "1"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "delivered 0" in done.stdout
    assert "hush-hush" not in done.stdout + done.stderr


def test_a_secrets_backend_can_hold_a_destination(tmp_path: Path) -> None:
    """Here Airflow's own, which reads a mounted file; neither environment nor database has the key."""
    connection = {"conn_type": "ringback", "password": KEY.reveal(), "extra": {"allow": ["https://portal.example/"]}}
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"ringback_default": connection}), encoding="utf-8")
    (backend,) = re.findall(r"`(airflow\.secrets\.\S+)`", document())
    environment = airflow_environment(
        tmp_path,
        AIRFLOW__SECRETS__BACKEND=backend,
        AIRFLOW__SECRETS__BACKEND_KWARGS=json.dumps({"connections_file_path": str(file)}),
    )
    done = subprocess.run(
        [sys.executable, "-c", LOOK_UP], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert KEY.reveal() not in done.stdout + done.stderr


@pytest.mark.parametrize("extra", extras())
def test_a_destination_may_say_what_the_document_says(extra: str) -> None:
    """It is read, and says something."""
    destination = parse_destination("default", conn_type="ringback", password=KEY.reveal(), extra=extra)
    assert destination != parse_destination("default", conn_type="ringback", password=KEY.reveal(), extra="{}")


def test_every_member_of_a_destination_is_documented() -> None:
    """Here, or in the README."""
    texts = document() + (DOCUMENT.parents[1] / "README.md").read_text(encoding="utf-8")
    assert [name for name in _KNOWN if not re.search(rf"[`\"]{name}[`\"]", texts)] == []
