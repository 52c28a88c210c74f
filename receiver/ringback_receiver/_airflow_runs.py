"""How each of many runs is, asked in few requests: what to ask, and what the answers mean.  Nothing here does I/O.

Checked against Airflow 3.3.2 (airflow/api_fastapi/core_api/routes/public/dag_run.py, common/parameters.py):
``run_id_pattern`` is ``ILIKE '%…%'`` over terms parted by ``|``, so it finds more than what was asked for, and
``limit`` is cut to ``[api] maximum_page_limit``.  What a list leaves out is asked for by itself.

A list that is too large, or that Airflow fails over, is halved until the one run that is to blame stands alone:
whoever may trigger a DAG must not be able to hide the others.  Airflow cannot leave out the conf; it is not decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, TypeAlias
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from ringback_receiver._airflow_answers import decode, error_of
from ringback_receiver._airflow_errors import (
    AirflowAuthError,
    AirflowError,
    AirflowProtocolError,
    AirflowUnreachable,
    AirflowUsageError,
    RunNotFound,
)
from ringback_receiver._airflow_wire import Operation, Request, Response, path
from ringback_receiver._dag_run import DagRun

__all__ = ["RunKey", "RunsFound", "find_runs"]

RunKey: TypeAlias = tuple[str, str]
"""DAG id and run id."""

Call: TypeAlias = Callable[[Request], Operation[Response]]

AT_ONCE = 100
"""Runs; what ``[api] maximum_page_limit`` allows by default."""
LONGEST_QUERY = 6_000
"""Characters; nginx, for one, refuses a request line of more than 8 kB."""
_EVERY_DAG = "~"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsFound:
    """What became of the runs that were asked for; each is in one of the three.

    :param runs: those that are there, without their conf.
    :param gone: those that Airflow does not know.
    :param unreadable: those that could not be had, with the reason, though Airflow is well.
    """

    runs: dict[RunKey, DagRun] = field(default_factory=dict)
    gone: set[RunKey] = field(default_factory=set)
    unreadable: dict[RunKey, AirflowError] = field(default_factory=dict)


_Instant = Annotated[datetime, Meta(tz=True)]


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    dag_id: str
    run_id: str = msgspec.field(name="dag_run_id")
    state: str
    logical_date: _Instant | None = None
    run_after: _Instant | None = None
    start_date: _Instant | None = None
    end_date: _Instant | None = None


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    dag_runs: tuple[msgspec.Raw, ...]


_SHOWN = msgspec.json.Decoder(_Shown)


def find_runs(call: Call, keys: Iterable[RunKey], *, run_url: Callable[[str, str], str]) -> Operation[RunsFound]:
    """Ask for many runs.

    :param call: sends one request, with a token.
    :param run_url: gives the page of a run, by its DAG id and run id.
    :raises AirflowError: Airflow is not there, or refuses altogether; nothing is known of any run then.
    """
    found = RunsFound()
    for batch in _batches(dict.fromkeys(keys)):
        yield from _find(call, _EVERY_DAG, batch, found)
    for key, run in found.runs.items():
        with suppress(AirflowUsageError):  # an id that no path can hold: the run has no page
            found.runs[key] = msgspec.structs.replace(run, run_url=run_url(*key))
    return found


def _find(call: Call, dag_id: str, keys: Sequence[RunKey], found: RunsFound) -> Operation[None]:
    """Ask for a list of runs, and for what it leaves out."""
    try:
        request = _list_request(dag_id, keys)
        response = yield from call(request)
        if response.status != 200:
            raise error_of(request, response)
        seen = _readable(decode(request, response, _Page))
    except AirflowUsageError as error:  # an id that no path can hold
        found.unreadable.update(dict.fromkeys(keys, error))
        return
    except AirflowAuthError as error:
        if error.reason != "forbidden":
            raise
        if dag_id != _EVERY_DAG:
            found.unreadable.update(dict.fromkeys(keys, error))
            return
        # An account that may see some DAGs only.
        for one in dict.fromkeys(dag for dag, _ in keys):
            yield from _find(call, one, [key for key in keys if key[0] == one], found)
        return
    except (AirflowUnreachable, AirflowProtocolError) as error:
        yield from _make_sure_it_is_a_run(call, error)
        if len(keys) == 1:
            yield from _find_one(call, keys[0], found)
        else:
            middle = len(keys) // 2
            yield from _find(call, dag_id, keys[:middle], found)
            yield from _find(call, dag_id, keys[middle:], found)
        return
    wanted = set(keys)
    found.runs.update((key, run) for run in seen if (key := (run.dag_id, run.run_id)) in wanted)
    missing = [key for key in keys if key not in found.runs]
    if 1 < len(missing) < len(keys):
        # The server's limit may be lower, or others whose ids look alike took the places.
        yield from _find(call, dag_id, missing, found)
    else:
        for key in missing:
            yield from _find_one(call, key, found)


def _find_one(call: Call, key: RunKey, found: RunsFound) -> Operation[None]:
    dag_id, run_id = key
    try:
        request = Request(method="GET", path=path(_RUN, dag_id=dag_id, run_id=run_id))
        response = yield from call(request)
        if response.status != 200:
            raise error_of(request, response, not_found=RunNotFound, names=run_id)
        (run,) = _readable(_Page(dag_runs=(msgspec.Raw(response.body),))) or (None,)
        if run is None or (run.dag_id, run.run_id) != key:
            raise AirflowProtocolError(f"GET {request.path} was not answered with that run", status=200)
        found.runs[key] = run
    except RunNotFound:
        found.gone.add(key)
    except AirflowUsageError as error:  # an id that no path can hold
        found.unreadable[key] = error
    except AirflowAuthError as error:
        if error.reason != "forbidden":
            raise
        found.unreadable[key] = error
    except (AirflowUnreachable, AirflowProtocolError) as error:
        yield from _make_sure_it_is_a_run(call, error)
        found.unreadable[key] = error


def _make_sure_it_is_a_run(call: Call, error: AirflowError) -> Operation[None]:
    """Return if Airflow can give a list without runs, so that it was a run that it failed over.

    :raises AirflowError: ``error``, if it cannot.
    """
    try:
        request = _empty_request()
        response = yield from call(request)
        if response.status == 200:
            decode(request, response, _Page)
            return
    except AirflowError:
        pass
    raise error


_RUNS = "/api/v2/dags/{dag_id}/dagRuns"
_RUN = _RUNS + "/{run_id}"


def _list_request(dag_id: str, keys: Sequence[RunKey]) -> Request:
    return Request(
        method="GET",
        path=path(_RUNS, dag_id=dag_id),
        params={"run_id_pattern": _pattern(keys), "order_by": "-id", "limit": str(AT_ONCE)},
    )


def _empty_request() -> Request:
    window = {"updated_at_gte": "1970-01-01T00:00:01Z", "updated_at_lte": "1970-01-01T00:00:00Z"}
    return Request(method="GET", path=path(_RUNS, dag_id=_EVERY_DAG), params={**window, "limit": "1"})


def _pattern(keys: Iterable[RunKey]) -> str:
    return "|".join(dict.fromkeys(run_id for _, run_id in keys))


def _batches(keys: Iterable[RunKey]) -> Iterator[list[RunKey]]:
    batch: list[RunKey] = []
    for key in keys:
        if batch and (len(batch) == AT_ONCE or len(urlencode({"": _pattern([*batch, key])})) > LONGEST_QUERY):
            yield batch
            batch = []
        batch.append(key)
    if batch:
        yield batch


def _readable(page: _Page) -> list[DagRun]:
    """Return the runs that can be read; one that cannot must not hide the others, and is asked for by itself."""
    runs = []
    for raw in page.dag_runs:
        try:
            shown = _SHOWN.decode(raw)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            continue
        runs.append(DagRun(**msgspec.structs.asdict(shown)))
    return runs
