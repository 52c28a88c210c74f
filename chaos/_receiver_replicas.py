"""Two replicas of a receiver on one store, and what kills them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres

__all__ = ["Replicas"]

_READY_SECONDS = 60.0


class Replicas:
    """Processes that are killed with signal 9 and started again, each on its port.

    :param store: URL of the one store that they share.
    :param postgres: the server below it, if there is one, which is killed as well.
    """

    def __init__(self, store: str, key: str, *, count: int, log: Path, postgres: LocalPostgres | None) -> None:
        self.ports = [free_port() for _ in range(count)]
        self.kills: Counter[str] = Counter()
        self._store = store
        self._key = key
        self._log = log.open("ab")
        self._postgres = postgres
        self._processes = [self._started(port) for port in self.ports]

    def close(self) -> None:
        """Stop them."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._log.close()

    def strike(self, chance: random.Random) -> None:
        """Kill a replica, or the database; start it again, and wait until everything serves."""
        if self._postgres is not None and chance.random() < 0.25:
            self.kills["postgresql"] += 1
            self._postgres.kill()
            time.sleep(chance.uniform(0.0, 0.5))
            self._postgres.start()
        else:
            self.kills["receiver"] += 1
            number = chance.randrange(len(self._processes))
            self._processes[number].kill()
            self._processes[number].wait()
            time.sleep(chance.uniform(0.0, 0.3))
            self._processes[number] = self._started(self.ports[number])
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until each answers, whatever it answers."""
        deadline = time.monotonic() + _READY_SECONDS
        for port in self.ports:
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                except httpx.TransportError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

    def revive(self) -> int:
        """Start what has died of itself; return how many had."""
        dead = [number for number, process in enumerate(self._processes) if process.poll() is not None]
        for number in dead:
            self._processes[number] = self._started(self.ports[number])
        return len(dead)

    def _started(self, port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.receiver_servers", "ours", self._key, self._store]
        settings = json.dumps({"port": port})
        return subprocess.Popen([*command, settings], stdout=subprocess.DEVNULL, stderr=self._log)
