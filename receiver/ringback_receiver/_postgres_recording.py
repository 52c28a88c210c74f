"""How the PostgreSQL store records a batch of events: two round trips, or five when an event is to be parked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

from ringback_receiver import _postgres_queries as sql
from ringback_receiver._matching import REACHES_HANDLERS
from ringback_receiver._postgres_connect import Connection
from ringback_receiver._postgres_holds import SPACE, by_correlation, by_run, in_order
from ringback_receiver._postgres_statement import fetch
from ringback_receiver._postgres_text import comparable
from ringback_receiver._recording import Arrival, Known, Look, Step, record_all
from ringback_receiver._rows import tracked_of
from ringback_receiver._store import Recorded

__all__ = ["record"]


async def record(connection: Connection, arrivals: Sequence[Arrival]) -> list[Recorded]:
    """Record a batch; what another replica changes meanwhile is looked at again."""
    recording = record_all(arrivals, exclusive=False)
    answer: Sequence[Known] | frozenset[str] | None = None
    async with AsyncExitStack() as held:
        while True:
            try:
                asked = next(recording) if answer is None else recording.send(answer)
            except StopIteration as end:
                return list(end.value)
            if isinstance(asked, Look):
                await held.aclose()
                if asked.hold:
                    await held.enter_async_context(connection.transaction())
                    await fetch(connection, sql.HOLD, space=SPACE, keys=in_order(map(_key, asked.arrivals)))
                answer = await _look(connection, asked.arrivals)
            else:
                answer = await _write(connection, asked.steps)
                await held.aclose()  # commits


def _key(arrival: Arrival) -> int:
    event = arrival.event
    if event.correlationid is not None:
        return by_correlation(event.correlationid)
    return by_run(event.data.dag_id, event.data.run_id)


async def _look(connection: Connection, arrivals: Sequence[Arrival]) -> list[Known]:
    meant = {arrival.event.id: comparable(arrival.event.correlationid) for arrival in arrivals}
    if anonymous := [arrival.event for arrival in arrivals if arrival.event.correlationid is None]:
        found = await fetch(
            connection,
            sql.REQUESTS_BY_RUN,
            dag_ids=[comparable(event.data.dag_id) for event in anonymous],
            run_ids=[comparable(event.data.run_id) for event in anonymous],
        )
        meant.update({event.id: request_id for event, (request_id,) in zip(anonymous, found, strict=True)})
    rows = await fetch(connection, sql.KNOWN, event_ids=list(meant), request_ids=list(meant.values()))
    return [Known(seen=seen, tracked=tracked_of(row) if row[0] is not None else None) for seen, *row in rows]


async def _write(connection: Connection, steps: Sequence[Step]) -> frozenset[str]:
    events = [step.arrival.event for step in steps]
    found = [step.found for step in steps]
    after = [step.request for step in steps]
    turns = [
        (step.arrival.event.id, handler, step.arrival.received_at)
        for step in steps
        if step.recorded.transition in REACHES_HANDLERS
        for handler in step.arrival.handlers
    ]
    rows = await fetch(
        connection,
        sql.WRITE_STEPS,
        event_ids=[event.id for event in events],
        request_ids=[request.request_id if request else None for request in after],
        correlation_ids=[comparable(event.correlationid) for event in events],
        dag_ids=[comparable(event.data.dag_id) for event in events],
        run_ids=[comparable(event.data.run_id) for event in events],
        transitions=[step.recorded.transition.value for step in steps],
        received=[step.arrival.received_at for step in steps],
        bodies=[step.arrival.body for step in steps],
        found=[request.state if request else None for request in found],
        states=[request.state if request else None for request in after],
        resolving=[request.event_id if request else None for request in after],
        called=[event_id for event_id, _, _ in turns],
        handlers=[handler for _, handler, _ in turns],
        due=[due for _, _, due in turns],
    )
    return frozenset(event_id for (event_id,) in rows)
