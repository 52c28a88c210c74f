"""What can be killed and started again, all with one face."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import httpx

from demo.local_airflow import LocalAirflow
from demo.local_postgres import LocalPostgres

__all__ = ["AirflowPart", "Part", "PostgresPart", "ProgramPart"]

_STOP_SECONDS = 15
_START_ATTEMPTS = 20


class Part(Protocol):
    """A process, or a family of them."""

    name: str

    def start(self) -> None:
        """Start it; it does not run."""

    def kill(self) -> None:
        """``kill -9`` it, and whatever is left of it if it died by itself."""

    def alive(self) -> bool:
        """Tell whether its process runs."""

    def serves(self) -> bool:
        """Tell whether it does its work, as far as can be seen from outside."""


class AirflowPart:
    """One of Airflow's components."""

    def __init__(self, airflow: LocalAirflow, name: str) -> None:
        self.name = name
        self._airflow = airflow

    def start(self) -> None:
        """Start the component."""
        self._airflow.start_component(self.name)

    def kill(self) -> None:
        """Kill the component and all in its session, its tasks included, as a supervisor's control group would."""
        with contextlib.suppress(KeyError):
            self._airflow.kill_component(self.name)

    def alive(self) -> bool:
        """Tell whether its process runs."""
        return self._airflow.alive(self.name)

    def serves(self) -> bool:
        """Tell whether the API server answers; of the others nothing can be seen."""
        if self.name != "api-server":
            return self.alive()
        try:
            answer = httpx.get(f"{self._airflow.url}/api/v2/version", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


class PostgresPart:
    """The database server with Airflow's tables and the outbox."""

    name = "postgresql"

    def __init__(self, postgres: LocalPostgres) -> None:
        self._postgres = postgres
        self._killed = False

    def start(self) -> None:
        """Start it; not at once if what the killed server started has not noticed yet and holds its memory."""
        for attempt in range(_START_ATTEMPTS):
            try:
                self._postgres.start()
            except RuntimeError:
                if attempt == _START_ATTEMPTS - 1:
                    raise
                time.sleep(0.5)
            else:
                break
        self._killed = False

    def kill(self) -> None:
        """Kill it."""
        self._killed = True
        self._postgres.kill()

    def alive(self) -> bool:
        """Tell whether it was not killed: it has no other reason to go."""
        return not self._killed

    def serves(self) -> bool:
        """Tell the same: starting waits until it takes connections."""
        return self.alive()


class ProgramPart:
    """A program of ours: a relay, the receiver.

    :param command: by how often it was started, counting this time.
    :param port: where it serves, if it does.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], Sequence[str]],
        *,
        log: Path,
        environment: Mapping[str, str],
        port: int | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._environment = environment
        self._port = port
        self._lives = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own."""
        self._lives += 1
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(self._lives),
                env=self._environment,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill it."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end; a while later, do not ask."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self.kill()

    def alive(self) -> bool:
        """Tell whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def serves(self) -> bool:
        """Tell whether its port takes connections."""
        if self._port is None:
            return self.alive()
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=2).close()
        except OSError:
            return False
        return True

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
