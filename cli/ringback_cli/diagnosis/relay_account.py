"""The account with which the relay reads DAG runs, used as the relay uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from ringback_cli.diagnosis.clock import clock_finding
from ringback_cli.diagnosis.finding import Finding, fine, problem

__all__ = ["relay_account"]

_SUBJECT = "connection ringback_airflow"


def relay_account() -> Iterator[Finding]:
    """Whether it is there, gets a token, and may read DAG runs; and what Airflow's clock says."""
    from ringback_notifier.errors import NotifierError
    from ringback_notifier.relay._errors import RunsDenied
    from ringback_notifier.relay._lookups import find_connection
    from ringback_notifier.relay._wiring import runs_api

    try:
        yield from asyncio.run(_asked(runs_api(find_connection("ringback_airflow"))))
    except RunsDenied as error:
        yield problem(_SUBJECT, str(error), "see docs/deploy.md for an account that can read DAG runs")
    except NotifierError as error:
        yield problem(_SUBJECT, str(error))


async def _asked(api: object) -> list[Finding]:
    from ringback_notifier.relay._paging import Place
    from ringback_notifier.relay._runs import RunsApi

    assert isinstance(api, RunsApi)
    try:
        theirs = await api.server_time()
        findings = [clock_finding(theirs, time.time())]
        async for _ in api.changed(since=theirs - 60, until=theirs, place=Place()):
            break
        return [fine(_SUBJECT, "can read DAG runs"), *findings]
    finally:
        await api.aclose()
