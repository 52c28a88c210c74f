"""What other processes do to an outbox: ``python outbox_program.py ACTION URL NAME``."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time

from outbox_samples import NOW, lease, make_attempt, make_event, make_hint, settlement

from ringback_notifier.errors import OutboxError
from ringback_notifier.outbox import Outbox, migrate, run_key


def ready() -> None:
    """Say so and wait until told to go on, so that several processes start together."""
    print("ready", flush=True)
    sys.stdin.readline()


def drain(url: str, name: str) -> None:
    """Deliver until nothing is left, and print what was leased."""
    outbox = Outbox.open(url, wait=20)
    ready()
    while leased := lease(outbox, name, limit=7):
        print(*leased, sep="\n", flush=True)
        outbox.settle(name, [settlement(id_, "delivered", attempt=make_attempt()) for id_ in leased], now=NOW)
    outbox.close()


def die(url: str, name: str) -> None:
    """Lease, and be killed."""
    lease(Outbox.open(url, wait=20), name)
    os.kill(os.getpid(), signal.SIGKILL)


def open_new(url: str, name: str) -> None:
    """Open what may not be there yet, and write a hint."""
    ready()
    outbox = Outbox.open(url, wait=10)
    outbox.add_hints([make_hint(event_id=f"msg_{name}")], now=NOW)
    outbox.close()


def migrate_new(url: str, name: str) -> None:
    """Migrate what others are migrating too."""
    ready()
    migrate(url)


def hold(url: str, name: str) -> None:
    """Hold SQLite's write lock."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    ready()


def quarrel(url: str, name: str) -> None:
    """Do everything at once to the same few rows, in an order of one's own, and print what went wrong."""
    choice = random.Random(name)
    outbox = Outbox.open(url, wait=20)
    ready()
    end = time.monotonic() + 2.0
    done = 0
    while time.monotonic() < end:
        numbers = choice.sample(range(12), 6)
        ids = [f"msg_{number:04d}" for number in numbers]
        runs = [run_key("sales_report", f"ext__{number}") for number in numbers]
        try:
            match choice.randrange(11):
                case 0:
                    outbox.add_hints([make_hint(number) for number in numbers], now=NOW)
                case 1:
                    outbox.add_hints([make_hint(number, event_id=None) for number in numbers], now=NOW)
                case 2:
                    outbox.record(make_event(numbers[0]), [make_attempt()], status="due", due_at=NOW, now=NOW)
                case 3:
                    outbox.enqueue([make_event(number) for number in numbers], now=NOW, drop=[*runs, *ids])
                case 4:
                    lease(outbox, name, limit=6)
                case 5:
                    settlements = [settlement(id_, choice.choice(["due", "delivered", "dead"])) for id_ in ids]
                    outbox.settle(name, settlements, now=NOW)
                case 6:
                    outbox.release(name, event_ids=ids, due_at=NOW)
                case 7:
                    outbox.release(name, event_ids=None, due_at=NOW)
                case 8:
                    outbox.postpone_hints(dict.fromkeys([*runs, *ids], NOW))
                case 9:
                    outbox.redeliver(event_ids=ids, now=NOW)
                case 10:
                    outbox.purge(before=NOW + 1, limit=5)
        except OutboxError as error:
            print(error, flush=True)
        done += 1
    print("done", done, file=sys.stderr, flush=True)
    outbox.close()


def fork(url: str, name: str) -> None:
    """Use an outbox in a process and in its child."""
    outbox = Outbox.open(url, wait=10)
    outbox.add_hints([make_hint(1)], now=NOW)
    child = os.fork()
    if child == 0:
        outbox.forget()
        outbox.add_hints([make_hint(2)], now=NOW)
        os._exit(0 if outbox.hinted(["msg_0001", "msg_0002"]) == {"msg_0001", "msg_0002"} else 1)
    _, status = os.waitpid(child, 0)
    outbox.add_hints([make_hint(3)], now=NOW)
    outbox.close()
    print(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    {
        "drain": drain,
        "die": die,
        "open_new": open_new,
        "migrate_new": migrate_new,
        "hold": hold,
        "quarrel": quarrel,
        "fork": fork,
    }[sys.argv[1]](sys.argv[2], sys.argv[3])
