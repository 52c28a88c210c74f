"""All that the proof needs, running: PostgreSQL, Airflow with our plugin, two relays, the receiver."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos._parts import AirflowPart, Part, PostgresPart, ProgramPart
from chaos.receiver import Files, ReceiverConfig
from demo.local_airflow import LocalAirflow, free_port
from demo.local_postgres import LocalPostgres
from ringback_protocol import PrivateKey

__all__ = ["Stage", "stage"]

_ROOT = Path(__file__).parents[1]
_SOURCES = ("protocol", "notifier", "receiver", "cli")
_PROGRAMS = ("chaos", "demo")

_ATTEMPT_SECONDS = 3

_SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
    "AIRFLOW__RINGBACK__ATTEMPT_TIMEOUT": str(_ATTEMPT_SECONDS),
    # Airflow's own recovery from kills, in seconds where it takes minutes by default.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
}


@dataclass(frozen=True)
class Stage:
    """What is running.

    :param outbox: its URL.
    """

    airflow: LocalAirflow
    parts: list[Part]
    receiver_port: int
    files: Files
    folder: Path
    database: str
    outbox: str


@contextlib.contextmanager
def stage(folder: Path, seed: int, say: Callable[[str], None]) -> Iterator[Stage]:
    """Start everything in a folder, and leave nothing running.

    :param say: told in a few words what is being waited for.
    """
    key, port = PrivateKey.generate(), free_port()
    # Its folder is closed to the user that PostgreSQL runs as, but for passing through.
    folder.chmod(0o711)
    postgres = LocalPostgres(folder / "postgres", free_port())
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.stop)
        say("starting PostgreSQL")
        postgres.start()
        database, outbox = postgres.create("airflow"), postgres.create("outbox")
        airflow = _airflow(folder, database, outbox, key, port)
        airflow.environment["PYTHONPATH"] = _copy_of_the_code(folder / "code")
        stack.enter_context(airflow)
        _migrate(airflow)
        airflow.start(say, timeout=300)
        programs = _programs(airflow, folder, port, _receiver_config(airflow, key, port, seed))
        for program in programs:
            stack.callback(program.stop)
            program.start()
        components = [AirflowPart(airflow, name) for name in ("api-server", "scheduler", "dag-processor", "triggerer")]
        yield Stage(
            airflow=airflow,
            parts=[PostgresPart(postgres), *components, *programs],
            receiver_port=port,
            files=Files(folder),
            folder=folder,
            database=database,
            outbox=outbox,
        )


def _copy_of_the_code(folder: Path) -> str:
    """Copy what the processes run, for they start again and again, and return their path of imports.

    So the code is one and the same to the end, also while somebody edits it.
    """
    for name in (*_SOURCES, *_PROGRAMS):
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return os.pathsep.join([str(folder), *(str(folder / name) for name in _SOURCES)])


def _airflow(folder: Path, database: str, outbox: str, key: PrivateKey, port: int) -> LocalAirflow:
    home = folder / "airflow"
    home.mkdir()
    shutil.copytree(_ROOT / "chaos" / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    airflow = LocalAirflow(home, folder / "dags", database=database, settings=_SETTINGS)
    destination = {
        "conn_type": "ringback",
        "password": key.reveal(),
        "extra": {"allow": [f"http://127.0.0.1:{port}/"]},
    }
    airflow.environment.update(
        {
            "AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(destination),
            "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(airflow.reader()),
            "AIRFLOW__RINGBACK__OUTBOX_URL": outbox,
        }
    )
    return airflow


def _migrate(airflow: LocalAirflow) -> None:
    command = [sys.executable, "-m", "ringback_cli", "outbox", "migrate"]
    done = subprocess.run(
        command, env=airflow.environment, cwd=airflow.home, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"ringback outbox migrate: {done.stdout}{done.stderr}")


def _receiver_config(airflow: LocalAirflow, key: PrivateKey, port: int, seed: int) -> ReceiverConfig:
    return ReceiverConfig(
        callback_url=f"http://127.0.0.1:{port}/airflow/completions",
        key=str(key.public()),
        airflow_url=airflow.url,
        username=airflow.username,
        password=airflow.password,
        seed=seed,
        hang=_ATTEMPT_SECONDS + 2.0,
    )


def _programs(airflow: LocalAirflow, folder: Path, port: int, config: ReceiverConfig) -> list[ProgramPart]:
    Files(folder).config.write_bytes(msgspec.json.encode(config))
    relays = {**airflow.environment, "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO"}

    def receiver(life: int) -> list[str]:
        return [sys.executable, "-m", "chaos.receiver", str(folder), str(life)]

    def relay(life: int) -> list[str]:
        return [sys.executable, "-m", "chaos.relay"]

    return [
        ProgramPart(
            "receiver",
            receiver,
            log=folder / "receiver.log",
            environment={**os.environ, "PYTHONPATH": airflow.environment["PYTHONPATH"]},
            port=port,
        ),
        *(ProgramPart(name, relay, log=folder / f"{name}.log", environment=relays) for name in ("relay-1", "relay-2")),
    ]
