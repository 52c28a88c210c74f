"""What users install: the wheel, in environments of its own, without Airflow."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RECEIVE = """
import asyncio, json, sys, time
from datetime import datetime, timezone
from fastapi import FastAPI
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id, sign
from ringback_receiver import Receiver

URL = "https://portal.example/airflow/completions"

class Airflow:
    async def trigger(self, dag_id, *, conf, run_id, **rest):
        self.correlation_id = conf["callback"]["correlation_id"]

async def main():
    key, airflow = PrivateKey.generate(), Airflow()
    receiver = Receiver(URL, [key.public()], airflow, f"sqlite:///{sys.argv[1]}/ringback.db")
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    async with receiver:
        handle = await receiver.trigger("sales_report")
        now = datetime.now(timezone.utc)
        run_id = handle.run_id
        data = CompletionData(
            dag_id="sales_report", run_id=run_id, state="success", reported_by="task", result=42)
        id = event_id(
            source="s", dag_id="sales_report", run_id=run_id, start_date=now, state="success", callback_url=URL)
        body = encode_event(CompletionEvent.of(
            data, id=id, source="s", audience=URL, correlationid=airflow.correlation_id, time=now))
        answer = await receiver.handle(sign(id, body, keys=[key], timestamp=int(time.time())), body)
        completion = await handle.completion(timeout=5)
        print(json.dumps([answer.status, completion.state, completion.result, "airflow" in sys.modules]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An interpreter in a new, empty environment, which has not even pip: ours installs there."""
    venv.create(tmp_path / "venv")
    return str(tmp_path / "venv" / "bin" / "python")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def pip(python: str, *arguments: str) -> str:
    return run(sys.executable, "-m", "pip", "--python", python, *arguments)


def install(python: str, wheel: str) -> None:
    pip(python, "install", "--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt"), wheel)


def installed(python: str) -> set[str]:
    listed = pip(python, "list", "--format", "json", "--disable-pip-version-check")
    return {entry["name"].lower() for entry in json.loads(listed)}


def test_the_wheel_holds_the_four_packages_and_no_more(wheel: Path) -> None:
    """No test, no demo, and no top-level ``notifier`` that would shadow somebody's own module."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "ringback_cli",
        "ringback_notifier",
        "ringback_protocol",
        "ringback_receiver",
    }


def test_the_wheel_holds_the_whole_page(wheel: Path) -> None:
    """What Airflow's UI shows is served from the package; nobody builds or downloads anything."""
    assets = ROOT / "notifier" / "ringback_notifier" / "web" / "assets"
    with zipfile.ZipFile(wheel) as archive:
        for file in assets.iterdir():
            assert archive.read(f"ringback_notifier/web/assets/{file.name}") == file.read_bytes()


def test_the_base_install_is_small(wheel: Path, python: str) -> None:
    """It pulls in neither Airflow nor FastAPI, and can verify."""
    install(python, str(wheel))
    packages = installed(python)
    assert {"airflow-ringback", "cryptography", "msgspec"} <= packages
    assert not {name for name in packages if name.startswith(("apache-airflow", "fastapi", "httpx", "sqlalchemy"))}
    assert "verify_event" in run(python, "-c", "import ringback_protocol; print(dir(ringback_protocol))")
    hint = subprocess.run([python, "-m", "ringback_cli"], capture_output=True, text=True, check=False)
    assert hint.returncode == 1
    assert "pip install 'airflow-ringback[receiver]'" in hint.stderr


def test_the_receiver_works_without_airflow(wheel: Path, python: str, tmp_path: Path) -> None:
    """Installed with its extra, it triggers, verifies, matches and wakes."""
    install(python, f"{wheel}[receiver]")
    assert not {name for name in installed(python) if name.startswith("apache-airflow")}
    assert json.loads(run(python, "-c", RECEIVE, str(tmp_path))) == [204, "success", 42, False]
    assert "whpk_" in run(str(Path(python).with_name("ringback")), "keys", "new")
