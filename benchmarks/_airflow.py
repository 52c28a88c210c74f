"""An Airflow on PostgreSQL with everything of ours on, for the benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from demo.local_airflow import LocalAirflow, free_port
from demo.local_postgres import LocalPostgres
from ringback_protocol import PrivateKey

__all__ = ["Setting", "relay_process", "setting"]


@dataclass(frozen=True)
class Setting:
    """What is running.

    :param port: where the receiver may listen.
    """

    airflow: LocalAirflow
    postgres: LocalPostgres
    key: PrivateKey
    port: int
    folder: Path

    @property
    def callback_url(self) -> str:
        """Where events go."""
        return f"http://127.0.0.1:{self.port}/airflow/completions"


@contextlib.contextmanager
def setting(dags: Path, settings: dict[str, str] | None = None) -> Iterator[Setting]:
    """Start PostgreSQL and Airflow with the plugin and an outbox; the relay is another matter.

    :param dags: a folder; its files are copied.
    """
    key, port = PrivateKey.generate(), free_port()
    with tempfile.TemporaryDirectory(prefix="ringback-bench-") as name:
        folder = Path(name)
        with LocalPostgres(folder / "postgres", free_port(), settings={"track_commit_timestamp": "on"}) as postgres:
            home = folder / "airflow"
            home.mkdir()
            shutil.copytree(dags, folder / "dags")
            airflow = LocalAirflow(
                home, folder / "dags", database=postgres.create("airflow"), settings={"AIRFLOW__CORE__PARALLELISM": "8"}
            )
            destination = {
                "conn_type": "ringback",
                "password": key.reveal(),
                "extra": {"allow": [f"http://127.0.0.1:{port}/"]},
            }
            reader = {
                "conn_type": "http",
                "host": airflow.url,
                "login": airflow.username,
                "password": airflow.password,
            }
            airflow.environment.update(
                {
                    "AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(destination),
                    "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(reader),
                    "AIRFLOW__RINGBACK__OUTBOX_URL": postgres.create("outbox"),
                    **(settings or {}),
                }
            )
            with airflow:
                ringback(airflow, "outbox", "migrate")
                airflow.start()
                yield Setting(airflow=airflow, postgres=postgres, key=key, port=port, folder=folder)


def ringback(airflow: LocalAirflow, *arguments: str) -> str:
    """Run ``ringback …`` beside this Airflow."""
    done = subprocess.run(
        [sys.executable, "-m", "ringback_cli", *arguments],
        env=airflow.environment,
        cwd=airflow.home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"ringback {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def relay_process(airflow: LocalAirflow) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``ringback relay`` until the block ends; its log is ``relay.log`` in Airflow's home."""
    with (airflow.home / "relay.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ringback_cli", "relay"],
            env=airflow.environment,
            cwd=airflow.home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
