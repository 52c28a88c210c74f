"""A relay as Airflow's configuration and connections describe it; the three shells differ only in how they look up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ringback_notifier import _config
from ringback_notifier._compat import airflow_conf
from ringback_notifier._destination import Destination
from ringback_notifier.errors import NotifierError, OutboxError
from ringback_notifier.relay._access import CONNECTION_ID, read_access
from ringback_notifier.relay._credentials import Credentials, Renewal
from ringback_notifier.relay._relay import Relay
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._settings import RelaySettings

if TYPE_CHECKING:
    from ringback_notifier.outbox import Outbox

__all__ = ["opened_relay", "relay_settings", "runs_api"]

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

    async def look_up() -> Any:
        return await connection(CONNECTION_ID)

    # A task looks it up anew every minute anyway, and would hold everything up while it does.
    runs = runs_api(await look_up(), look_up=None if kind == "dag" else look_up)
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


def runs_api(connection: Any, *, look_up: Callable[[], Awaitable[Any]] | None = None) -> RunsApi:
    """Return the reader of Airflow's REST API that an Airflow connection describes.

    :param look_up: gives the connection as it is by now, for an account that Airflow refuses.
    :raises ConnectionNotFound: if there is none.
    :raises NotifierError: saying what is missing in it.
    """
    access = read_access(connection)
    account = access.credentials

    async def by_now() -> Credentials:
        fresh = read_access(None if look_up is None else await look_up())
        if fresh.base_url != access.base_url:
            # A password must not be sent to a server that it was not written for.
            raise NotifierError(f"connection {CONNECTION_ID} names another address by now; restart the relay")
        return fresh.credentials

    return RunsApi(
        access.base_url,
        username=account.username,
        password=account.password,
        token=account.token,
        ca_bundle=access.ca_bundle,
        renew=None if look_up is None else Renewal(by_now),
    )
