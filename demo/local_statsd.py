"""A StatsD that only listens: what Airflow's metrics send, as text."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

__all__ = ["LocalStatsd"]


class LocalStatsd:
    """Take datagrams on a free loopback port while the block lasts."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen, name="statsd", daemon=True)
        self.port = int(self._socket.getsockname()[1])
        self.lines: list[str] = []
        """What came in, such as ``airflow.ringback.delivered,destination=default,sender=task:1|c``."""

    def __enter__(self) -> LocalStatsd:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    @property
    def settings(self) -> dict[str, str]:
        """Return what Airflow has in its environment, so that its metrics come here, with tags."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def of(self, beginning: str) -> list[str]:
        """Return the lines about a metric of ours.

        :param beginning: of its name and tags, without Airflow's prefix.
        """
        return [line for line in list(self.lines) if line.startswith(f"airflow.{beginning}")]

    def _listen(self) -> None:
        while datagram := self._socket.recv(65_535):
            self.lines += datagram.decode("utf-8", "replace").splitlines()
