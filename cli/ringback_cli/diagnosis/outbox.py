"""The outbox: usable, writable, of this release, and emptied by a relay that is alive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from ringback_cli.diagnosis.finding import Finding, fine, problem, warning
from ringback_cli.sqlite_files import is_missing

__all__ = ["outbox", "relays"]

_WAIT = 5.0
_NO_RELAY = "put relay_dag() into the DAG folder, or run `ringback relay`"


def outbox() -> Iterator[Finding]:
    """Whether it can be reached and written, and has this release's tables; it is neither made nor migrated."""
    from ringback_notifier import _config
    from ringback_notifier._compat import airflow_conf
    from ringback_notifier.errors import NotifierError

    try:
        from ringback_notifier.outbox import Outbox  # noqa: F401 - says what it lacks
        from ringback_notifier.outbox._url import parse_url

        url = _config.outbox_url()
        place = parse_url(url)
        executor = airflow_conf().get("core", "executor", fallback="LocalExecutor")
        if place.kind == "sqlite" and "LocalExecutor" not in executor:
            yield problem(
                "outbox",
                f"{place} is a file, but with {executor} tasks may run on other machines",
                "set [ringback] outbox_url to a PostgreSQL, the same in every component",
            )
        if is_missing(url):
            yield warning(
                "outbox",
                f"{place} is not there yet",
                "nothing, if no run has ended here yet: Airflow's components make it; else compare AIRFLOW_HOME",
            )
            return
        yield _state_of(place)
    except NotifierError as error:
        yield problem("outbox", str(error))


def _state_of(place: object) -> Finding:
    from sqlalchemy import text

    from ringback_notifier.outbox._database import Database
    from ringback_notifier.outbox._migrate import has_head
    from ringback_notifier.outbox._url import Place

    assert isinstance(place, Place)
    with closing(Database(place, wait=_WAIT)) as database:
        with database.reading() as connection:
            current = has_head(connection, place)
        if not current:
            return problem(
                "outbox", f"the tables of {place} are missing or of an older release", "run `ringback outbox migrate`"
            )
        with database.writing() as connection:
            if place.kind == "postgresql":
                may = connection.execute(text(_MAY_WRITE)).scalar()
                if not may:
                    return problem(
                        "outbox",
                        f"{place} may not be written",
                        "grant SELECT, INSERT, UPDATE and DELETE on its tables to this user",
                    )
    return fine("outbox", f"{place} can be written and has this release's tables")


_MAY_WRITE = (
    "SELECT bool_and(has_table_privilege('ringback_event', right_)) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', "
    "'DELETE']) AS right_"
)


def relays() -> Iterator[Finding]:
    """Whether a relay is alive, and whether anything was given up; of an outbox of this release only."""
    from ringback_notifier import _config
    from ringback_notifier.errors import NotifierError

    try:
        from ringback_notifier.outbox import Outbox, relay_is_alive
        from ringback_notifier.outbox._database import Database
        from ringback_notifier.outbox._migrate import has_head
        from ringback_notifier.outbox._url import parse_url

        url = _config.outbox_url()
        place = parse_url(url)
        if is_missing(url):
            yield warning("relay", "there is no outbox yet, and so no sign of a relay", _NO_RELAY)
            return
        # Not by Outbox.open(), which migrates.
        with closing(Database(place, wait=_WAIT)) as database:
            with database.reading() as connection:
                if not has_head(connection, place):
                    return  # outbox() has told it
            opened = Outbox(database)
            now = time.time()
            alive = [relay_is_alive(duty, now) for duty in opened.duties("relay/")]
            counts = {str(status): count for status, count in opened.counts().items()}
    except NotifierError as error:
        yield problem("relay", f"whether one is alive cannot be seen: {error}")
        return
    if number := sum(alive):
        yield fine("relay", f"{number} {'is' if number == 1 else 'are'} alive")
    elif alive:
        yield warning(
            "relay",
            "none is at work now, but one was within the last hour",
            "look again in a minute, and at the relay's log",
        )
    else:
        yield problem(
            "relay", "none is alive: what fails once is not tried again, and some endings are not seen", _NO_RELAY
        )
    lost = {status: counts[status] for status in ("dead", "refused") if counts.get(status)}
    if lost:
        said = ", ".join(f"{count} {status}" for status, count in lost.items())
        yield warning(
            "events",
            f"{said}: they were not delivered and are not tried again",
            "mend the cause, then send them again with `ringback outbox redeliver`",
        )
    else:
        yield fine(
            "events", ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count) or "none"
        )
