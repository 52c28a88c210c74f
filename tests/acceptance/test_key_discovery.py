"""Public keys from a real API server: whatever holds the connection, and never a secret."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import LONG, recording
from fastapi import FastAPI

from demo.local_airflow import LocalAirflow
from demo.serving import serving_app
from ringback_protocol import PrivateKey, Secret
from ringback_receiver import AsyncAirflowClient, Discover, Receiver

SECRET = Secret.generate()

Add = Callable[[str, str], None]


@pytest.fixture
def add_connection(airflow: LocalAirflow) -> Iterator[Add]:
    """Put a destination's connection with a password into Airflow's database."""
    with airflow.api() as api, ExitStack() as stack:

        def add(name: str, password: str) -> None:
            conn_id = f"ringback_{name}"
            extra = json.dumps({"allow": ["https://portal.example/"], "headers": {"authorization": "Bearer hush"}})
            connection = {"connection_id": conn_id, "conn_type": "ringback", "password": password, "extra": extra}
            assert api.post("/api/v2/connections", json=connection).status_code == 201
            stack.callback(api.delete, f"/api/v2/connections/{conn_id}")

        yield add


def published(airflow: LocalAirflow, name: str) -> httpx.Response:
    """Ask as a stranger does: without a token."""
    return httpx.get(f"{airflow.url}/ringback/keys/{name}", timeout=60, trust_env=False)


def keys_in(answer: httpx.Response) -> list[str]:
    return [entry["key"] for entry in answer.json()["keys"]]


def test_airflow_lists_the_endpoint(airflow: LocalAirflow) -> None:
    """Among the plugins, for whoever wonders where it comes from."""
    with airflow.api() as api:
        plugins = api.get("/api/v2/plugins").json()["plugins"]
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "ringback"]
    assert [app["url_prefix"] for app in ours["fastapi_apps"]] == ["/ringback/callbacks", "/ringback"]


def test_a_connection_in_the_environment_is_served(airflow: LocalAirflow, key: PrivateKey) -> None:
    """Without signing in; caches may keep it, and its entity tag spares the next one."""
    answer = published(airflow, "default")
    assert keys_in(answer) == [str(key.public())]
    assert answer.headers["cache-control"] == "public, max-age=300"
    again = httpx.get(str(answer.url), headers={"if-none-match": answer.headers["etag"]}, timeout=60, trust_env=False)
    assert (again.status_code, again.content) == (304, b"")
    assert not {"content-type", "content-length"} & again.headers.keys()


def test_a_connection_in_the_database_is_served(airflow: LocalAirflow, add_connection: Add) -> None:
    """Encrypted there, read here, and only its public halves are shown."""
    new, old = PrivateKey.generate(), PrivateKey.generate()
    add_connection("pair", f"{new.reveal()} {SECRET.reveal()} {old.reveal()}")
    answer = published(airflow, "pair")
    assert keys_in(answer) == [str(new.public()), str(old.public())]
    shown = f"{answer.headers} {answer.text}"
    assert not [word for word in ("whsk_", "whsec_", "hush", new.reveal()[5:45], SECRET.reveal()[6:]) if word in shown]


def test_a_shared_secret_is_never_shown(airflow: LocalAirflow, add_connection: Add) -> None:
    """Its destination answers like one that does not exist, and neither in the answer nor in the log is a trace."""
    add_connection("secret", SECRET.reveal())
    there, nowhere = published(airflow, "secret"), published(airflow, "nowhere")
    assert there.status_code == nowhere.status_code == 404
    assert there.json() == nowhere.json()
    assert there.headers.keys() == nowhere.headers.keys()
    log = airflow.log_of("api-server").read_text()
    assert SECRET.reveal()[6:] not in log + there.text


def test_a_connection_in_a_secrets_back_end_is_found(airflow: LocalAirflow, tmp_path: Path) -> None:
    """The look-up asks whatever Airflow is configured with, before environment and database."""
    key = PrivateKey.generate()
    file = tmp_path / "connections.json"
    file.write_text(json.dumps({"ringback_files": {"conn_type": "ringback", "password": key.reveal()}}))
    settings = {
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(file)}),
    }
    program = (
        "from ringback_notifier._public_keys import public_keys\n"
        "print(*public_keys('files'), *public_keys('default'), len(public_keys('nowhere')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**airflow.environment, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    found = done.stdout.splitlines()[-1].split(" ")
    assert (found[0], found[2]) == (str(key.public()), "0")
    assert found[1].startswith("whpk_")


def test_the_printed_rotation_is_what_airflow_takes(airflow: LocalAirflow, add_connection: Add, tmp_path: Path) -> None:
    """From an export of Airflow's connections to an import of the rotated one, and its keys are published."""
    old = PrivateKey.generate()
    add_connection("rotated", old.reveal())
    before = published(airflow, "rotated")
    exported = tmp_path / "exported.json"
    airflow.run("connections", "export", str(exported), "--file-format", "json")
    rotate = [sys.executable, "-m", "ringback_cli", "keys", "rotate", "--destination", "rotated"]
    with exported.open() as given:
        printed = subprocess.run(rotate, stdin=given, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in printed.splitlines() if line.startswith("  {")]
    imported = tmp_path / "rotated.json"
    imported.write_text(line)
    airflow.run("connections", "import", "--overwrite", str(imported))
    deadline = time.monotonic() + 60  # the API server keeps an answer for ten seconds
    while (after := published(airflow, "rotated")).text == before.text:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert keys_in(before) == [str(old.public())]
    assert keys_in(after) == [entry.strip() for entry in printed.splitlines() if entry.startswith("  whpk_")]
    assert len(keys_in(after)) == 2
    with airflow.api() as api:
        kept = api.get("/api/v2/connections/ringback_rotated").json()
    assert "https://portal.example/" in kept["extra"]


@pytest.mark.anyio
async def test_a_receiver_without_keys_of_its_own_is_rung_back(
    airflow: LocalAirflow, client: AsyncAirflowClient, receiver_port: int, tmp_path: Path
) -> None:
    """It is told where Airflow is, and that is all."""
    exchanges: list[Any] = []
    receiver = Receiver(
        callback_url=f"http://127.0.0.1:{receiver_port}/airflow/completions",
        keys=Discover(airflow.url),
        airflow=client,
        store=f"sqlite:///{tmp_path / 'ringback.db'}",
    )
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    async with serving_app(recording(app, exchanges), receiver_port):
        handle = await receiver.trigger("sales_report", conf={"region": "APAC"})
        completion = await handle.completion(timeout=LONG)
    assert (completion.state, completion.result["rows"]) == ("success", 3)
    assert {exchange.status for exchange in exchanges} == {204}
