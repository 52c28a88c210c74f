"""What the relay asks Airflow's REST API, and how it reads the answers.  Pure.

Checked against Airflow 3.3.2 (airflow/api_fastapi/core_api/routes/public/dag_run.py, common/parameters.py):

- ``conf_contains`` is ``LIKE '%…%'`` over the conf as text; JSON writes a key as ``"callback`` and more in SQLite
  (``json.dumps``) as in PostgreSQL (``jsonb``), so one term finds both ``"callback"`` and ``"callback_url"``.
- ``run_id_pattern`` and ``dag_id_pattern`` are ``ILIKE '%…%'`` over terms parted by ``|``: what they find is more
  than what was asked for.
- ``limit`` is cut to 100 without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from ringback_notifier.relay._errors import RunsUnreadable
from ringback_notifier.relay._run import Page, Run, RunKey

__all__ = ["PAGE", "batches", "changed_path", "read_page", "read_run", "readable", "run_path", "server_time"]

log = logging.getLogger(__name__)

PAGE = 100
LONGEST_PATH = 6_000
"""Characters; nginx, for one, refuses a request line of more than 8 kB."""

_T = TypeVar("_T")
_ALL = "/api/v2/dags/~/dagRuns"
_PAGE_DECODER = msgspec.json.Decoder(Page)
_RUN_DECODER = msgspec.json.Decoder(Run)


def run_path(key: RunKey) -> str:
    """Return the path of one run."""
    dag_id, run_id = key
    return f"/api/v2/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"


def batches(keys: Iterable[RunKey], *, since: float) -> Iterator[tuple[str, tuple[RunKey, ...]]]:
    """Yield paths that each ask for many runs, with the runs that they ask for.

    :param since: Unix seconds; runs that changed at or after it, which keeps others whose ids look alike away.
    """
    batch: list[RunKey] = []
    for key in keys:
        if batch and len(_batch_path([*batch, key], since)) > LONGEST_PATH:
            yield _batch_path(batch, since), tuple(batch)
            batch = []
        batch.append(key)
    if batch:
        yield _batch_path(batch, since), tuple(batch)


def changed_path(
    *, since: float, until: float, cursor: str | None, offset: int | None = None, limit: int = PAGE
) -> str:
    """Return the path of a page of ended runs that may ask for a callback.

    :param since: Unix seconds; runs that changed at or after it.
    :param until: Unix seconds; and at or before it.
    :param cursor: of the page; empty for the first, ``None`` to page by ``offset``.
    """
    query: list[tuple[str, str]] = [
        ("conf_contains", '"callback'),
        ("updated_at_gte", _instant(since)),
        ("updated_at_lte", _instant(until)),
        ("state", "success"),
        ("state", "failed"),
        ("order_by", "updated_at"),
        ("limit", str(limit)),
        ("cursor", cursor) if cursor is not None else ("offset", str(offset or 0)),
    ]
    return f"{_ALL}?{urlencode(query)}"


def read_page(body: bytes) -> Page:
    """Read a page of runs.

    :raises RunsUnreadable: if it is none.
    """
    return _read(_PAGE_DECODER, body)


def readable(page: Page) -> tuple[Run, ...]:
    """Return the runs of a page that can be read, and log the others: one of them must not hide the rest."""
    runs: list[Run] = []
    for raw in page.dag_runs:
        try:
            runs.append(_RUN_DECODER.decode(raw))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            log.error("ringback relay: Airflow shows a run that cannot be read, and so is not reported: %s", error)
    return tuple(runs)


def read_run(body: bytes) -> Run:
    """Read one run.

    :raises RunsUnreadable: if it is none.
    """
    return _read(_RUN_DECODER, body)


def server_time(headers: Mapping[str, str]) -> float:
    """Return when the server answered, by its own clock, in Unix seconds.

    :raises RunsUnreadable: if it does not say.
    """
    try:
        moment = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError, IndexError):
        raise RunsUnreadable("Airflow's answer has no readable Date header; does a proxy remove it?") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def _batch_path(keys: Sequence[RunKey], since: float) -> str:
    query = {
        "run_id_pattern": "|".join(dict.fromkeys(run_id for _, run_id in keys)),
        "dag_id_pattern": "|".join(dict.fromkeys(dag_id for dag_id, _ in keys)),
        "updated_at_gte": _instant(since),
        "order_by": "-id",  # the newest first: they are the ones that were just seen to end
        "limit": str(PAGE),
    }
    return f"{_ALL}?{urlencode(query)}"


def _instant(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _read(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RunsUnreadable(
            f"the answer is not what Airflow's REST API gives ({error}); is the base URL right?"
        ) from error
