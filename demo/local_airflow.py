"""A real Airflow in a temporary home: scheduler, DAG processor, API server, triggerer, on SQLite or PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx

__all__ = ["AirflowDied", "LocalAirflow", "free_port"]

_COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_STOP_SECONDS = 10


class AirflowDied(RuntimeError):
    """A component ended, or did not come up in time; the message shows the end of its log."""


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalAirflow:
    """Start, stop and kill Airflow's components.

    :param home: an empty folder; becomes ``AIRFLOW_HOME``.
    :param dags: the DAG folder.
    :param settings: further environment, such as ``AIRFLOW_CONN_…``.
    :param database: ``postgresql://…`` of an empty database; else Airflow keeps a SQLite file in its home.
    :param component_settings: by component, what it alone has in its environment.
    :param python: of the environment that Airflow is installed in.
    :param accounts: names of further accounts of the simple auth manager, each with its role.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        settings: Mapping[str, str] | None = None,
        *,
        database: str | None = None,
        component_settings: Mapping[str, Mapping[str, str]] | None = None,
        python: Path = Path(sys.executable),
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self._python = python
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.username = "admin"
        self.password = secrets.token_urlsafe(12)
        roles = {self.username: "admin", "reader": "viewer", **(accounts or {})}
        self.passwords = {name: secrets.token_urlsafe(12) for name in roles} | {self.username: self.password}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._component_settings = dict(component_settings or {})
        passwords = home / "passwords.json"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            "AIRFLOW_HOME": str(home),
            # Its components talk to each other; a proxy has no part in that.
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in roles.items()),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__TRIGGERER__CAPACITY": "10",
            **(_patient_sqlite(home) if database is None else _postgresql(database)),
            **(settings or {}),
        }
        passwords.write_text(json.dumps(self.passwords), encoding="utf-8")

    def __enter__(self) -> LocalAirflow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self,
        say: Callable[[str], None] = lambda _: None,
        *,
        prepare: Callable[[], object] = lambda: None,
        timeout: float = 180,
    ) -> None:
        """Create the database, start everything, and wait until the API answers and DAGs are parsed.

        :param say: told in a few words what is being waited for.
        :param prepare: called once the database is there and nothing runs yet.
        :param timeout: seconds for all of it.
        :raises AirflowDied: if something ends or the time is up.
        """
        deadline = time.monotonic() + timeout
        say("creating Airflow's database")
        self.run("db", "migrate")
        prepare()
        say("starting Airflow's components")
        for component in _COMPONENTS:
            self.start_component(component)
        say("waiting for the API server")
        self._wait_until(self._api_answers, deadline, "the API server did not answer")
        say("waiting for the DAG processor")
        self._wait_until(self._dags_parsed, deadline, "not every DAG was parsed")

    def run(self, *arguments: str, told: str = "") -> str:
        """Run ``airflow …`` in this home to its end and return what it printed.

        :param told: what is typed into it, where it asks.
        :raises AirflowDied: if it fails.
        """
        done = subprocess.run(
            [str(self._python), "-m", "airflow", *arguments],
            env=self.environment,
            cwd=self.home,
            input=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            start_new_session=True,  # without a terminal, a password is read from what it is told
        )
        if done.returncode:
            raise AirflowDied(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-4000:]}")
        return done.stdout

    def start_component(self, component: str, settings: Mapping[str, str] | None = None) -> None:
        """Start one component in a session of its own, also one that was stopped or killed.

        :param settings: what this component alone has in its environment, from now on; else as before.
        """
        assert not self.alive(component), f"{component} is running"
        if settings is not None:
            self._component_settings[component] = settings
        with self.log_of(component).open("ab") as log:
            self._processes[component] = subprocess.Popen(
                [str(self._python), "-m", "airflow", component],
                env={**self.environment, **self._component_settings.get(component, {})},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop_component(self, component: str) -> None:
        """Ask one component to end and wait until it and whatever it started are gone."""
        self._stop([self._processes.pop(component)])

    def kill_component(self, component: str) -> None:
        """``kill -9`` one component and whatever it started, all at once."""
        process = self._processes.pop(component)
        _kill_session(process)

    def alive(self, component: str) -> bool:
        """Say whether a component was started and still runs."""
        process = self._processes.get(component)
        return process is not None and process.poll() is None

    def process_id(self, component: str) -> int:
        """Return the process id of a running component."""
        return self._processes[component].pid

    def log_of(self, component: str) -> Path:
        """Return the file with a component's output."""
        return self.home / f"{component}.log"

    def stop(self) -> None:
        """Stop every component and whatever it started; nothing is left running."""
        self._stop(list(self._processes.values()))
        self._processes.clear()

    def _stop(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.1))
            _kill_session(process)

    def reader(self) -> dict[str, str]:
        """Return an Airflow connection, such as ``ringback_airflow``, of an account that may only look."""
        return {"conn_type": "http", "host": self.url, "login": "reader", "password": self.passwords["reader"]}

    def api(self, username: str = "admin") -> httpx.Client:
        """Return an HTTP client of the REST API, signed in with one of the accounts."""
        credentials = {"username": username, "password": self.passwords[username]}
        answer = httpx.post(f"{self.url}/auth/token", json=credentials, timeout=60, trust_env=False)
        answer.raise_for_status()
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def _api_answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/version", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def _dags_parsed(self) -> bool:
        folder = Path(self.environment["AIRFLOW__CORE__DAGS_FOLDER"])
        files = {path.name for path in folder.glob("*.py")}
        try:
            with self.api() as api:
                dags = api.get("/api/v2/dags", params={"limit": 100}).json()["dags"]
                broken = api.get("/api/v2/importErrors").json()["import_errors"]
        except httpx.TransportError:  # a busy machine
            return False
        if broken:
            raise AirflowDied(f"{broken[0]['filename']} cannot be imported:\n{broken[0]['stack_trace']}")
        return {Path(dag["fileloc"]).name for dag in dags} >= files

    def _wait_until(self, condition: Callable[[], bool], deadline: float, otherwise: str) -> None:
        while not condition():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AirflowDied(f"airflow {name} ended:\n{self._end_of_log(name)}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {name}\n{self._end_of_log(name)}" for name in self._processes)
                raise AirflowDied(f"{otherwise} in time:\n{logs}")
            time.sleep(0.3)

    def _end_of_log(self, component: str) -> str:
        return self.log_of(component).read_text(encoding="utf-8", errors="replace")[-2000:]


def _patient_sqlite(home: Path) -> dict[str, str]:
    """Let writers wait: several processes write to one file, and on a busy machine the usual five seconds are short."""
    config = home / "config"  # which Airflow puts on its import path
    config.mkdir()
    (config / "ringback_demo_sqlite.py").write_text('PATIENT = {"timeout": 60}\n', encoding="utf-8")
    return {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "ringback_demo_sqlite.PATIENT",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": "ringback_demo_sqlite.PATIENT",
    }


def _postgresql(database: str) -> dict[str, str]:
    """Use psycopg 3 both ways; left alone, Airflow would want psycopg2 and asyncpg."""
    url = database.replace("postgresql://", "postgresql+psycopg://", 1)
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url}


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """``kill -9`` a session's leader and its members: a task has a process group of its own, but no session."""
    _signal_group(process, signal.SIGKILL)
    process.wait()
    for member in Path("/proc").glob("[0-9]*"):  # on a system without it, the group must do
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(member.name)) == process.pid:
                os.kill(int(member.name), signal.SIGKILL)


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that clean-up runs on both."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
