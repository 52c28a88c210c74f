"""A relay as Airflow's configuration and connections describe it; the three shells differ only in how they look up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ringback_notifier import _config
from ringback_notifier._compat import airflow_conf
from ringback_notifier._destination import Destination
from ringback_notifier.errors import NotifierError, OutboxError
from ringback_notifier.relay._errors import ConnectionNotFound
from ringback_notifier.relay._relay import Relay
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._settings import RelaySettings

if TYPE_CHECKING:
    from ringback_notifier.outbox import Outbox

__all__ = ["CONNECTION_ID", "opened_relay", "relay_settings", "runs_api"]

CONNECTION_ID = "ringback_airflow"
"""The Airflow connection with an account that can read DAG runs."""

_LOCK_SECONDS = 10.0
"""How long a relay waits for a locked outbox; nobody else waits for the relay."""


@contextlib.asynccontextmanager
async def opened_relay(
    kind: str,
    *,
    connection: Callable[[str], Awaitable[Any]],
    destination: Callable[[str], Awaitable[Destination]],
) -> AsyncIterator[Relay]:
    """Give a relay that is ready to drain, and close what it held.

    :param kind: of shell, for the heartbeat: ``dag``, ``trigger`` or ``process``.
    :param connection: gives an Airflow connection by its id, or ``None``.
    :param destination: gives a destination by its name.
    :raises NotifierError: if the connection ``ringback_airflow`` is missing or says too little, or the outbox cannot
        be opened.
    """
    runs = runs_api(await connection(CONNECTION_ID))
    try:
        # Reading the configuration may start a program or ask a secrets backend, and opening the outbox waits.
        site, settings = await asyncio.to_thread(lambda: (_config.site(), relay_settings()))
        outbox = await asyncio.to_thread(_open_outbox, kind)
        try:
            yield Relay(outbox=outbox, runs=runs, destinations=destination, site=site, settings=settings, kind=kind)
        finally:
            await _apart(outbox.close)
    finally:
        await runs.aclose()


async def _apart(work: Callable[[], None]) -> None:
    """Do something in a thread of its own: the event loop's may all be taken, and a stop does not wait for them."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ringback-close")
    try:
        await asyncio.get_running_loop().run_in_executor(thread, work)
    finally:
        thread.shutdown(wait=False)


def _open_outbox(kind: str) -> Outbox:
    from ringback_notifier.outbox import Outbox

    url, executor = _config.outbox_url(), airflow_conf().get("core", "executor", fallback="LocalExecutor")
    if kind == "dag" and url.startswith("sqlite:") and executor != "LocalExecutor":
        # Each worker would have an outbox of its own, which may be gone with it.
        raise OutboxError(
            f"with {executor}, workers may be on other machines than the rest of Airflow, so the outbox must be a "
            "PostgreSQL database: set [ringback] outbox_url to the same postgresql://… everywhere"
        )
    return Outbox.open(url, wait=_LOCK_SECONDS)


def relay_settings() -> RelaySettings:
    """Return what section ``[ringback]`` says."""
    grace, attempt_timeout = _config.callback_grace(), _config.attempt_timeout()
    return RelaySettings(
        concurrency=_config.relay_concurrency(),
        host_concurrency=_config.relay_host_concurrency(),
        attempt_timeout=attempt_timeout,
        lease=max(60.0, 3 * attempt_timeout),
        sweep_interval=_config.sweep_interval(),
        sweep_overlap=max(_config.sweep_overlap(), 2 * grace),
        sweep_lookback=_config.sweep_lookback(),
        grace=grace,
        retention=_config.retention(),
    )


def runs_api(connection: Any) -> RunsApi:
    """Return the reader of Airflow's REST API that an Airflow connection describes.

    Its host is the API server's address, ``https://…``; login and password are of an account that can read DAG runs.
    A password without a login is a bearer token; with neither, the API server is asked for a token, as the simple
    auth manager gives it to everybody in its all-admins mode.  ``ca_bundle`` in the extra is the path of a PEM file.

    :raises ConnectionNotFound: if there is none.
    :raises NotifierError: saying what is missing in it.
    """
    if connection is None:
        raise ConnectionNotFound(
            f"there is no Airflow connection {CONNECTION_ID}. The relay reads DAG runs through Airflow's REST API: add "
            f"one with `airflow connections add {CONNECTION_ID} --conn-type http --conn-host https://airflow.example "
            "--conn-login NAME --conn-password …`, of an account that can read DAG runs and nothing else"
        )
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise NotifierError(f"connection {CONNECTION_ID}: host is empty; it must be such as https://airflow.example")
    if "://" not in host:
        scheme = connection.schema if connection.schema in ("http", "https") else "https"
        host = f"{scheme}://{host}"
    if "@" in host:
        raise NotifierError(f"connection {CONNECTION_ID}: host must not hold credentials; they are login and password")
    if not host.startswith(("https://", "http://")):
        raise NotifierError(f"connection {CONNECTION_ID}: host must start with https:// or http://")
    if connection.port:
        parts = urlsplit(host)
        host = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    if connection.login and not connection.password:
        raise NotifierError(f"connection {CONNECTION_ID}: it has a login but no password")
    ca_bundle = _ca_bundle(connection.extra)
    if connection.login:
        return RunsApi(host, username=connection.login, password=connection.password, ca_bundle=ca_bundle)
    token = (connection.password or "").strip() or None
    if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise NotifierError(f"connection {CONNECTION_ID}: its password, without a login, is no token")
    return RunsApi(host, token=token, ca_bundle=ca_bundle)


def _ca_bundle(extra: str | None) -> str | None:
    try:
        settings = json.loads(extra or "{}")
    except ValueError:
        settings = None
    path = settings.get("ca_bundle") if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not isinstance(path, str | None):
        raise NotifierError(
            f'connection {CONNECTION_ID}: extra must be a JSON object; {{"ca_bundle": "/path/of.pem"}} names the only '
            "CAs to trust"
        )
    return path or None
