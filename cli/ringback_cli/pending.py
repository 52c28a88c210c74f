"""``ringback pending``: see what a receiver waits for, what failed and why, and do something about it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ringback_cli.exit_codes import ExitCode
from ringback_cli.moments import ago
from ringback_cli.output import AsJson, print_json, print_line, printable
from ringback_cli.problems import fail, receiver_errors_shown
from ringback_cli.sqlite_files import is_missing

if TYPE_CHECKING:
    from ringback_receiver import FailingCall
    from ringback_receiver._matching import PendingRequest
    from ringback_receiver._store import History, Store, Tracked

__all__ = ["app"]

T = TypeVar("T")

app = typer.Typer(help="See what a receiver waits for, and what failed.", no_args_is_help=True)

StoreUrl = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="RINGBACK_STORE",
        help="The receiver's store, such as sqlite:///ringback.db; a password is better kept in the variable.",
    ),
]
RequestId = Annotated[str, typer.Argument(help="Id of a request, req_…", metavar="REQUEST_ID")]
DEFAULT_STORE = "sqlite:///ringback.db"


class State(str, Enum):
    """What has become of a request."""

    PENDING = "pending"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"
    ABANDONED = "abandoned"
    EXPIRED = "expired"


@app.callback()
def group() -> None:
    """See what a receiver waits for, and what failed."""


@app.command("list")
def list_requests(
    state: Annotated[State, typer.Option(help="Requests in this state.")] = State.PENDING,
    limit: Annotated[int, typer.Option(help="At most so many requests, and so many handlers.", min=1)] = 50,
    store_url: StoreUrl = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """List requests, those that wait oldest first, and the handlers that fail.

    Example: ringback pending list --store sqlite:////var/lib/portal/ringback.db
    """

    async def read(store: Store) -> tuple[list[PendingRequest], list[FailingCall]]:
        return (
            await store.list_requests(state=state.value, limit=limit),
            await store.failing_calls(limit=limit),
        )

    requests, failing = _with_store(store_url, read)
    if as_json:
        print_json({"requests": requests, "handlers": failing})
        return
    now = time.time()
    for request in requests:
        typer.echo(_line_of(request, now))
    if not requests:
        typer.echo(f"No request is {state.value}.")
    for call in failing:
        when = "given up" if call.given_up_at is not None else f"next {ago(call.due, now=now)}"
        typer.echo(
            printable(
                f"handler {call.handler} failed {call.attempts} times for {call.request_id}, {when}: {call.error}"
            )
        )


@app.command()
def show(request_id: RequestId, store_url: StoreUrl = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show all that is known of one request: its events, what they meant, and what handlers made of them.

    Exit code 1 if it is not known.

    Example: ringback pending show req_01jz8q6zt0k4x2v9w7y5b3n1mf
    """

    async def read(store: Store) -> tuple[History | None, Tracked | None]:
        return await store.history(request_id), (await store.look_up([request_id])).get(request_id)

    history, tracked = _with_store(store_url, read)
    if history is None or tracked is None:
        fail(f"no request {request_id!r} is known here")
    if as_json:
        print_json({"request": history.request, "events": history.events, "handlers": history.calls})
        return
    now = time.time()
    typer.echo(_line_of(history.request, now))
    if history.request.metadata is not None:
        print_line(f"metadata: {json.dumps(history.request.metadata)}")
    if (completion := tracked.completion) is not None:
        why = f" ({completion.reason})" if completion.reason else ""
        print_line(f"the run ended in {completion.state}{why}, said by its {completion.reported_by}")
    for event in history.events:
        typer.echo(f"event {event.event_id}: {event.transition.value}, {ago(event.received_at, now=now)}")
    for call in history.calls:
        if call.done_at is not None:
            became = f"done {ago(call.done_at, now=now)}"
        elif call.given_up_at is not None:
            became = f"given up {ago(call.given_up_at, now=now)}: {call.error}"
        elif call.error is not None:
            became = f"failed, next {ago(call.due, now=now)}: {call.error}"
        else:
            became = "has its turn" if call.attempts else "waits for its turn"
        print_line(f"handler {call.handler} for {call.event_id}: {became} ({call.attempts} attempts)")


@app.command()
def cancel(
    request_ids: Annotated[list[str], typer.Argument(help="Ids of requests, req_…", metavar="REQUEST_ID...")],
    store_url: StoreUrl = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Stop waiting, for everybody; the runs go on, and their events are answered 410.

    Exit code 1 if one of them is not cancelled now.

    Example: ringback pending cancel req_01jz8q6zt0k4x2v9w7y5b3n1mf
    """

    async def write(store: Store) -> list[Tracked | None]:
        return [await store.cancel(request_id) for request_id in request_ids]

    states = [tracked and tracked.request.state for tracked in _with_store(store_url, write)]
    if as_json:
        print_json({"requests": [{"request_id": i, "state": s} for i, s in zip(request_ids, states, strict=True)]})
    for request_id, state in () if as_json else zip(request_ids, states, strict=True):
        print_line(f"{request_id}: {state or 'unknown'}")
    if set(states) != {"cancelled"}:
        raise typer.Exit(ExitCode.NOT_DONE)


@app.command()
def retry(
    request_id: Annotated[str | None, typer.Argument(help="Only of this request.", metavar="[REQUEST_ID]")] = None,
    handler: Annotated[str | None, typer.Option(help="Only of this handler, by its name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Of all requests and handlers.")] = False,
    store_url: StoreUrl = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Let handlers that failed or gave up run again now, in whatever process has them.

    Exit code 1 if there is none.

    Example: ringback pending retry --handler portal.reports.report_ready
    """
    if request_id is None and handler is None and not every:
        raise typer.BadParameter("name a request, or a handler with --handler, or say --all", param_hint="REQUEST_ID")

    async def write(store: Store) -> int:
        return await store.retry_failed(now=time.time(), request_id=request_id, handler=handler)

    count = _with_store(store_url, write)
    if as_json:
        print_json({"calls_due": count})
    else:
        typer.echo(f"{count} {'call' if count == 1 else 'calls'} of handlers {'is' if count == 1 else 'are'} due now.")
    if not count:
        raise typer.Exit(ExitCode.NOT_DONE)


def _with_store(url: str, work: Callable[[Store], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _opened(url) as store:
            return await work(store)

    with receiver_errors_shown():
        if is_missing(url):
            fail(f"there is no store {url} here; name the receiver's with --store or RINGBACK_STORE")
        return asyncio.run(run())


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    """Open a store."""
    from ringback_receiver._store_url import store_from_url

    store = store_from_url(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _line_of(request: PendingRequest, now: float) -> str:
    parts = [f"{request.request_id}  {request.dag_id}  {request.run_id}", f"asked {ago(request.created_at, now=now)}"]
    if request.state == "pending":
        if request.next_check is not None:
            checked = f"Airflow was asked {request.checks} times, " if request.checks else ""
            parts.append(f"{checked}next check {ago(request.next_check, now=now)}")
        if request.deadline is not None:
            parts.append(f"expires {ago(request.deadline, now=now)}")
    else:
        parts.append(request.state + (f": {request.reason}" if request.reason else ""))
    return printable(", ".join(parts))
