"""The caller's side: Airflow's API as the caller sees it, the published keys, the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from ringback_cli.airflow_access import AirflowAccess
from ringback_cli.diagnosis.clock import clock_finding, date_of
from ringback_cli.diagnosis.finding import Finding, fine, problem, warning

__all__ = ["account", "clock", "published_keys", "store"]

_SECONDS = 8.0
_NOBODY = ("ringback_doctor", "nobody")


def account(access: AirflowAccess) -> Iterator[Finding]:
    """Whether the account gets a token and may read DAG runs, as a receiver's reconciler does."""
    from ringback_receiver import AirflowAuthError, AirflowError

    async def ask() -> None:
        async with access.client(timeout=_SECONDS) as client:
            await client.find_runs([_NOBODY])

    try:
        asyncio.run(ask())
    except AirflowAuthError as error:
        yield problem("Airflow's API", str(error), "see docs/deploy.md for what a caller's account needs")
    except AirflowError as error:
        yield problem("Airflow's API", str(error), "compare the address with the one in the browser")
    else:
        yield fine("Airflow's API", f"{access.url} takes the account, which can read DAG runs")


def clock(access: AirflowAccess) -> Iterator[Finding]:
    """How far Airflow's clock is from ours."""
    import httpx

    from ringback_receiver import AirflowError
    from ringback_receiver._airflow_settings import base_url_of, verification

    try:
        base, verify = base_url_of(access.url), verification(access.ca_bundle or True)
        with httpx.Client(verify=verify, timeout=_SECONDS, follow_redirects=False) as http:
            answer = http.head(f"{base}/api/v2/version")
    except (httpx.HTTPError, AirflowError):
        return  # the account's check has told it
    yield clock_finding(date_of(answer.headers), time.time())


def published_keys(url: str, destination: str) -> Iterator[Finding]:
    """Whether Airflow publishes a destination's keys."""
    from ringback_receiver import ReceiverError
    from ringback_receiver._published_keys import ask, http_client, keys_url
    from ringback_receiver._trusted_keys import Learned, Published, Withdrawn

    async def look(where: str) -> Learned:
        async with http_client(True, None) as http:
            return await ask(http, where, destination, etag=None, within=_SECONDS)

    try:
        where = keys_url(url, destination, allow_http=False)
        learned = asyncio.run(look(where))
    except ReceiverError as error:
        yield problem("published keys", str(error))
        return
    if isinstance(learned, Published):
        yield fine("published keys", f"{where} has {', '.join(str(key) for key, _ in learned.keys)}")
    elif isinstance(learned, Withdrawn):
        yield problem(
            "published keys",
            f"{where} has none",
            "name the destination in [ringback] publish_keys there, or give the receiver keys=[…] instead",
        )
    else:
        yield problem(
            "published keys",
            f"{where}: {getattr(learned, 'why', 'no answer')}",
            "ask for it with curl from this machine",
        )


def store(url: str) -> Iterator[Finding]:
    """Whether a receiver's store can be opened and has this release's tables."""
    from pathlib import Path

    from ringback_receiver import ReceiverError
    from ringback_receiver._store_url import store_from_url

    async def look() -> None:
        opened = store_from_url(url)
        await opened.open()
        await opened.close()

    try:
        if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
            yield warning("store", f"{url} is not there", "nothing, if no receiver ran here yet: it makes its file")
            return
        asyncio.run(look())
    except ReceiverError as error:
        yield problem("store", str(error))
    else:
        yield fine("store", "it can be opened and has this release's tables")
