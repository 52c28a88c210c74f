"""What the relay's tests have to do with: an outbox, receivers, an Airflow API, and relays over them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any

from relay_servers import FakeAirflow, FakeRun, Receiver

from ringback_notifier._addresses import AddressRules
from ringback_notifier._destination import Destination
from ringback_notifier._report import Site
from ringback_notifier.outbox import Attempt, EventFilter, EventRow, EventSummary, Hint, Outbox, OutboxEvent, Status
from ringback_notifier.relay._relay import DrainReport, Relay
from ringback_notifier.relay._runs import RunsApi
from ringback_notifier.relay._settings import RelaySettings
from ringback_protocol import PrivateKey, event_id

SITE = Site(source="https://airflow.example", base_url="https://airflow.example")
KEY = PrivateKey.generate()
LOOPBACK_ALLOWED = AddressRules(networks=(ip_network("127.0.0.0/8"),))
QUICK = RelaySettings(
    attempt_timeout=2.0, lease=5.0, sweep_interval=0.2, sweep_overlap=65.0, grace=0.0, farewell=1.0, poll=0.2
)


def destination(**settings: Any) -> Destination:
    """Return a destination that allows every port of the loopback that a test may use."""
    members = {"name": "default", "keys": (KEY,), "allow": AnyLoopback(), "addresses": LOOPBACK_ALLOWED}
    return Destination(**{**members, **settings})


class AnyLoopback(tuple[Any, ...]):
    """An allow-list for ports that are not known beforehand."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter([_Loopback()])


class _Loopback:
    def matches(self, scheme: str, host: str, port: int, path: tuple[str, ...]) -> bool:
        return host == "127.0.0.1" and not path[0].startswith("forbidden")


@dataclass
class World:
    """What a test has to do with."""

    url: str
    outbox: Outbox
    stack: ExitStack
    site: Site = SITE
    destinations: dict[str, Destination | Exception] = field(default_factory=lambda: {"default": destination()})
    look_ups: int = 0

    def receiver(self, script: Any = None) -> Receiver:
        made: Receiver = self.stack.enter_context(Receiver(script))
        return made

    def airflow(self, **quirks: Any) -> FakeAirflow:
        made: FakeAirflow = self.stack.enter_context(FakeAirflow(**quirks))
        return made

    async def destination(self, name: str) -> Destination:
        self.look_ups += 1
        found = self.destinations[name]
        if isinstance(found, Exception):
            raise found
        return found

    def relay(self, airflow: FakeAirflow | None = None, *, outbox: Outbox | None = None, **settings: Any) -> Relay:
        runs = RunsApi(airflow.base, username="relay", password="hush") if airflow else None
        owner = settings.pop("owner", None)
        return Relay(
            outbox=outbox or self.outbox,
            runs=runs,
            destinations=self.destination,
            site=self.site,
            settings=replace(QUICK, **settings),
            owner=owner,
        )

    def event(self, url: str, number: int = 0, **changes: Any) -> OutboxEvent:
        members: dict[str, Any] = {
            "event_id": f"msg_{number:06d}",
            "dag_id": "sales",
            "run_id": f"ext__{number}",
            "state": "success",
            "destination": "default",
            "url": url,
            "body": b'{"number": %d}' % number,
            "reported_by": "relay",
            "ended_at": None,
        }
        return OutboxEvent(**{**members, **changes})

    def enqueue(self, *events: OutboxEvent, now: float | None = None) -> None:
        self.outbox.enqueue(events, now=time.time() if now is None else now)

    def hint(self, run: FakeRun, url: str, *, state: Any = "success", **changes: Any) -> Hint:
        """Write down what a listener saw."""
        members: dict[str, Any] = {
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "event_id": true_id(run, url, state),
            "state": state,
            "seen_by": "listener",
            "due_at": time.time(),
        }
        hint = Hint(**{**members, **changes})
        self.outbox.add_hints([hint], now=time.time())
        return hint

    def row(self, id_: str) -> EventRow | None:
        return self.outbox.event(id_)

    def rows(self, *statuses: Status) -> list[EventSummary]:
        """Return the rows with one of these statuses; without any, all of them."""
        return self.outbox.page(EventFilter(statuses=statuses or None), limit=1_000).rows

    def status(self, number_or_id: int | str) -> str | None:
        id_ = number_or_id if isinstance(number_or_id, str) else f"msg_{number_or_id:06d}"
        return self.outbox.status_of(id_)

    def attempts(self, number_or_id: int | str) -> list[Attempt]:
        id_ = number_or_id if isinstance(number_or_id, str) else f"msg_{number_or_id:06d}"
        return self.outbox.attempts_of(id_)


def true_id(run: FakeRun, url: str, state: str | None = None) -> str:
    """Return the id of the event that reports a run's ending."""
    started = None if run.start is None else datetime.fromtimestamp(run.start, timezone.utc)
    return event_id(
        source=SITE.source,
        dag_id=run.dag_id,
        run_id=run.run_id,
        start_date=started,
        state=state or run.state,
        callback_url=url,
    )


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


async def drain_until(relay: Relay, condition: Callable[[], Any], seconds: float = 10.0) -> DrainReport:
    """Drain until something holds."""
    stop = asyncio.Event()
    draining: asyncio.Task[DrainReport] = asyncio.create_task(relay.drain(seconds + 5, stop=stop))
    try:
        await until(condition, seconds)
    finally:
        stop.set()
        report = await draining
    return report
