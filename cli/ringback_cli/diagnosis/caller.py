"""The caller's side: Airflow's API as the caller sees it, the published keys, the store."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from ringback_cli.airflow_access import AirflowAccess
from ringback_cli.diagnosis.clock import clock_finding, date_of
from ringback_cli.diagnosis.finding import Finding, fine, problem, warning
from ringback_cli.sqlite_files import is_missing, sqlite_file

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
    """Whether a receiver's store can be opened and has this release's tables; it is neither made nor migrated."""
    from ringback_receiver import ReceiverError
    from ringback_receiver._store_url import store_from_url

    async def look() -> None:
        opened = store_from_url(url)
        await opened.open()
        await opened.close()

    file = sqlite_file(url)
    try:
        if is_missing(url):
            yield warning("store", f"{url} is not there", "nothing, if no receiver ran here yet: it makes its file")
            return
        if file is None:
            asyncio.run(look())
        elif not _has_our_tables(file):
            yield warning(
                "store",
                f"the tables of {url} are missing or of an older release",
                "nothing, if a receiver of this release is yet to start: it makes them",
            )
            return
    except ReceiverError as error:
        yield problem("store", str(error))
    except sqlite3.Error as error:
        yield problem("store", f"SQLite store {file}: {error}")
    else:
        yield fine("store", "it can be opened and has this release's tables")


def _has_our_tables(file: Path) -> bool:
    """Ask without opening the store, which would migrate it."""
    from ringback_receiver._versions import VERSION_TABLE, is_current

    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_SECONDS)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = None
        if VERSION_TABLE in tables:
            (version,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() or (None,)  # noqa: S608
        return is_current(str(file), version, tables)
