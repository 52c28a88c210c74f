"""What the relay asks Airflow's REST API, and how it reads the answers.  Pure.

Checked against Airflow 3.3.2 (airflow/api_fastapi/core_api/routes/public/dag_run.py, common/parameters.py):

- ``conf_contains`` is ``LIKE '%…%'`` over the conf as text; JSON writes a key as ``"callback`` and more in SQLite
  (``json.dumps``) as in PostgreSQL (``jsonb``), so one term finds both ``"callback"`` and ``"callback_url"``.
- ``run_id_pattern`` and ``dag_id_pattern`` are ``ILIKE '%…%'`` over terms parted by ``|``: what they find is more
  than what was asked for.
- ``limit`` is cut to ``[api] maximum_page_limit`` without a word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, UnsetType

from ringback_notifier.relay._errors import RunsUnreadable
from ringback_notifier.relay._paging import PAGE, Place
from ringback_notifier.relay._run import OversizedRequest, Page, Run, RunKey

__all__ = [
    "batches",
    "changed_path",
    "read_page",
    "read_run",
    "readable",
    "run_path",
    "server_time",
    "some_paths",
]

log = logging.getLogger(__name__)

LONGEST_PATH = 6_000
"""Characters; nginx, for one, refuses a request line of more than 8 kB."""

_T = TypeVar("_T")
_ALL = "/api/v2/dags/~/dagRuns"
_ENDED = (("conf_contains", '"callback'), ("state", "success"), ("state", "failed"))
_PAGE_DECODER = msgspec.json.Decoder(Page)

MAX_REQUEST_BYTES = 32_768
"""More than any request that is well-formed can have, however it is escaped."""


class _Shown(Run, frozen=True, kw_only=True):
    """A run as it comes: its conf, which may be a book, is not looked at but for what asks for a callback."""

    conf: msgspec.Raw = msgspec.Raw(b"null")


class _Conf(msgspec.Struct):
    callback: msgspec.Raw | UnsetType = UNSET
    callback_url: msgspec.Raw | UnsetType = UNSET


_RUN_DECODER = msgspec.json.Decoder(_Shown)
_CONF_DECODER = msgspec.json.Decoder(_Conf)


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


def changed_path(*, since: float, until: float, place: Place) -> str:
    """Return the path of a page of ended runs that may ask for a callback.

    :param since: Unix seconds; runs that changed at or after it.
    :param until: Unix seconds; and at or before it.
    :param place: where the page starts.
    """
    query = [
        *_ENDED,
        ("updated_at_gte", _instant(since)),
        ("updated_at_lte", _instant(until)),
        ("order_by", "updated_at"),
        ("limit", str(place.limit)),
        ("cursor", place.cursor) if place.cursor is not None else ("offset", str(place.offset)),
    ]
    return f"{_ALL}?{urlencode(query)}"


def some_paths() -> list[str]:
    """Return paths of single runs of all times: the newest and the oldest, and some more of these.

    Whoever can give one of them can give lists of runs.
    """
    places = [("-updated_at", 0), ("updated_at", 0), ("updated_at", 1), ("updated_at", 50)]
    return [f"{_ALL}?{urlencode([*_ENDED, *_one(order, offset)])}" for order, offset in places]


def _one(order: str, offset: int) -> list[tuple[str, str]]:
    return [("order_by", order), ("limit", "1"), ("offset", str(offset))]


def read_page(body: bytes) -> Page:
    """Read a page of runs.

    :raises RunsUnreadable: if it is none.
    """
    return _read(_PAGE_DECODER.decode, body)


def readable(page: Page) -> tuple[Run, ...]:
    """Return the runs of a page that can be read, and log the others: one of them must not hide the rest."""
    runs: list[Run] = []
    for raw in page.dag_runs:
        try:
            runs.append(_run(raw))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            log.error("ringback relay: Airflow shows a run that cannot be read, and so is not reported: %s", error)
    return tuple(runs)


def read_run(body: bytes) -> Run:
    """Read one run.

    :raises RunsUnreadable: if it is none.
    """
    return _read(_run, body)


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


def _run(body: bytes | msgspec.Raw) -> Run:
    shown = _RUN_DECODER.decode(body)
    return Run(**{**msgspec.structs.asdict(shown), "conf": _asking(shown.conf)})


def _asking(conf: msgspec.Raw) -> dict[str, Any] | None:
    """Return a conf without anything that does not ask for a callback."""
    try:
        found = _CONF_DECODER.decode(conf)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None  # no object, which is no request either
    members = {"callback": found.callback, "callback_url": found.callback_url}
    asking = {name: _small(value) for name, value in members.items() if isinstance(value, msgspec.Raw)}
    return asking or None


def _small(value: msgspec.Raw) -> Any:
    size = len(bytes(value))
    return OversizedRequest(size) if size > MAX_REQUEST_BYTES else msgspec.json.decode(value)


def _read(decode: Callable[[bytes], _T], body: bytes) -> _T:
    try:
        return decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RunsUnreadable(
            f"the answer is not what Airflow's REST API gives ({error}); is the base URL right?"
        ) from error
