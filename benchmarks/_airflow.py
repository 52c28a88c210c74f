"""An Airflow on PostgreSQL with everything of ours on, for the benchmarks."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from demo.local_airflow import LocalAirflow, free_port
from demo.local_postgres import LocalPostgres
from demo.local_relay import ringback
from demo.serving import serving
from ringback_protocol import PrivateKey
from ringback_receiver import AsyncAirflowClient, Receiver

__all__ = ["CallersSide", "Setting", "callers_side", "setting"]


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
    def relays_log(self) -> Path:
        """Where a relay writes its log."""
        return self.folder / "relay.log"

    @property
    def callback_url(self) -> str:
        """Where events go."""
        return f"http://127.0.0.1:{self.port}/airflow/completions"


@dataclass(frozen=True)
class CallersSide:
    """Who triggers and waits.

    :param http: Airflow's REST API, signed in, as callers without a library use it.
    """

    receiver: Receiver
    client: AsyncAirflowClient
    http: httpx.AsyncClient


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
            airflow.environment.update(
                {
                    "AIRFLOW_CONN_RINGBACK_DEFAULT": json.dumps(destination),
                    "AIRFLOW_CONN_RINGBACK_AIRFLOW": json.dumps(airflow.reader()),
                    "AIRFLOW__RINGBACK__OUTBOX_URL": postgres.create("outbox"),
                    **(settings or {}),
                }
            )
            with airflow:
                ringback(airflow.environment, "outbox", "migrate")
                airflow.start()
                yield Setting(airflow=airflow, postgres=postgres, key=key, port=port, folder=folder)


@asynccontextmanager
async def callers_side(here: Setting) -> AsyncIterator[CallersSide]:
    """Open a caller's clients and put its receiver on the air, until the block ends."""
    airflow = here.airflow
    with airflow.api() as signed_in:
        headers = {"authorization": signed_in.headers["authorization"]}
    async with (
        AsyncAirflowClient(
            airflow.url, username=airflow.username, password=airflow.password, timeout=60, trust_env=False
        ) as client,
        httpx.AsyncClient(
            base_url=airflow.url,
            headers=headers,
            timeout=120,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        ) as http,
    ):
        receiver = Receiver(
            callback_url=here.callback_url,
            keys=[here.key.public()],
            airflow=client,
            store=f"sqlite:///{here.folder / 'ringback.db'}",
            reconcile=(),  # what is measured is how Airflow rings
        )
        async with serving(receiver, here.port):
            yield CallersSide(receiver=receiver, client=client, http=http)
