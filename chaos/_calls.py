"""HTTP calls that are repeated until they get through: whoever is called may just be dead."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

from demo.local_airflow import LocalAirflow

__all__ = ["Airflow", "GaveUp", "Stopped", "ask_receiver"]

_PATIENCE = 300.0
_AGAIN_SECONDS = 1.0
_TIMEOUT = 60.0


class GaveUp(Exception):
    """Nobody gave a usable answer in time."""


class Stopped(Exception):
    """The whole proof is being stopped."""


class Airflow:
    """The REST API as an operator uses it.

    :param stop: set when nobody shall go on.
    """

    def __init__(self, airflow: LocalAirflow, stop: threading.Event) -> None:
        self._airflow = airflow
        self._stop = stop
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def call(self, method: str, path: str, *, fine: tuple[int, ...] = (), json: Any = None) -> httpx.Response:
        """Call until the answer is one of success, or of those that are fine.

        :raises GaveUp: if that takes five minutes, or the answer will not get better.
        :raises Stopped: if all is stopped.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            said: object
            try:
                answer = self._signed_in().request(method, path, json=json)
            except httpx.HTTPError as error:
                said = error
            else:
                if answer.is_success or answer.status_code in fine:
                    return answer
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.is_client_error:
                    raise GaveUp(f"{method} {path}: {said}")
            _pause(self._stop, deadline, f"{method} {path}: {said}")

    def _signed_in(self) -> httpx.Client:
        with self._lock:
            if self._client is None:
                self._client = self._airflow.api()
                self._client.timeout = httpx.Timeout(_TIMEOUT)
            return self._client


def ask_receiver(port: int, asked: dict[str, Any], stop: threading.Event) -> str:
    """Have the receiver trigger a run, and return the request's id; it is safe to ask again.

    :raises GaveUp: if that takes five minutes.
    :raises Stopped: if all is stopped.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        said: object
        try:
            answer = httpx.post(f"http://127.0.0.1:{port}/trigger", json=asked, timeout=_TIMEOUT, trust_env=False)
        except httpx.HTTPError as error:
            said = error
        else:
            if answer.is_success:
                return str(answer.json()["request_id"])
            said = answer.text[:300]
        _pause(stop, deadline, f"trigger {asked['run_id']}: {said}")


def _pause(stop: threading.Event, deadline: float, said: str) -> None:
    if time.monotonic() > deadline:
        raise GaveUp(said)
    if stop.wait(_AGAIN_SECONDS):
        raise Stopped
