"""How many events a receiver takes in a second, durable, verified and matched, against what people write by hand.

All servers run on the same uvicorn, each in a process of its own, one client on loopback over kept connections.  They
take turns in a random order, round by round, and ratios are of the same round, so that a machine's moods hit all.
Every event resolves a request that waits; each is answered after the commit where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks._figures import Figure, at_least, keep, ratios, spread
from benchmarks._receiver_load import make_posts, post_all, register
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_protocol import PrivateKey, Secret
from ringback_receiver._migrate import migrate
from ringback_receiver._store_url import store_from_url

ED25519, HMAC = "Ed25519", "HMAC"


@dataclass(frozen=True, kw_only=True)
class Way:
    """A server to measure.

    :param store: ``postgresql``, ``sqlite`` or nothing.
    :param share: of the events of a round, for those that would take minutes.
    """

    server: str
    store: str = ""
    scheme: str = ED25519
    share: float = 1.0


BARE, LIBRARY = "bare FastAPI route", "FastAPI + standardwebhooks, not durable"
STORES = {"PostgreSQL": "postgresql", "SQLite FULL": "sqlite"}


def ours(store: str, scheme: str, server: str = "ours") -> str:
    """Return how a way of ours is called."""
    return ", ".join(["Ringback" if server == "ours" else "Ringback, no framework", store, scheme])


WAYS = {
    BARE: Way(server="bare"),
    **{
        ours(store, scheme, server): Way(server=server, store=STORES[store], scheme=scheme)
        for server in ("ours", "alone")
        for scheme in (ED25519, HMAC)
        for store in STORES
    },
    LIBRARY: Way(server="standardwebhooks", scheme=HMAC),
    "SQLAlchemy, a commit each, PostgreSQL": Way(server="sqlalchemy", store="postgresql", share=0.2),
    "SQLAlchemy, a commit each, SQLite FULL": Way(server="sqlalchemy", store="sqlite", share=0.1),
}

OF_BARE = {(64, "PostgreSQL"): 1.0, (64, "SQLite FULL"): 0.85, (16, "PostgreSQL"): 0.8, (16, "SQLite FULL"): 0.65}
GOALS = {
    **{
        (connections, ours(store, scheme, server), BARE): at_least(share)
        for (connections, store), share in OF_BARE.items()
        for server in ("ours", "alone")
        for scheme in (ED25519, HMAC)
    },
    **{(64, ours(store, HMAC, server), LIBRARY): at_least(1.8) for store in STORES for server in ("ours", "alone")},
    **{(64, ours(store, ED25519), f"SQLAlchemy, a commit each, {store}"): at_least(20.0) for store in STORES},
}


@contextlib.contextmanager
def running(way: Way, key: PrivateKey | Secret, store: str, settings: Mapping[str, object]) -> Iterator[int]:
    """Run a server, and give its port."""
    verifying = str(key.public()) if isinstance(key, PrivateKey) else key.reveal()
    command = [
        sys.executable,
        "-m",
        "benchmarks.receiver_servers",
        way.server,
        verifying,
        store,
        json.dumps(dict(settings)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def prepared(url: str) -> None:
    """Make a store's tables."""
    store = store_from_url(url)
    await store.open()
    await store.close()


def measure(connections: tuple[int, ...], events: int, rounds: int, seed: int) -> dict[int, dict[str, list[float]]]:
    """Return events a second, by connections and way, round by round."""
    chance = random.Random(seed)
    keys: dict[str, PrivateKey | Secret] = {ED25519: PrivateKey.generate(), HMAC: Secret.generate()}
    rates: dict[int, dict[str, list[float]]] = {n: {name: [] for name in WAYS} for n in connections}
    with (
        tempfile.TemporaryDirectory(prefix="ringback-bench-", ignore_cleanup_errors=True) as folder,
        LocalPostgres(Path(folder) / "postgres", free_port()) as postgres,
        contextlib.ExitStack() as servers,
    ):
        ports, stores = {}, {}
        for number, (name, way) in enumerate(WAYS.items()):
            stores[name] = ""
            if way.store == "postgresql":
                stores[name] = postgres.create(f"bench{number}")
                migrate(stores[name])
            elif way.store == "sqlite":
                stores[name] = f"sqlite:///{folder}/{number}.db"
                asyncio.run(prepared(stores[name]))
            ports[name] = servers.enter_context(running(way, keys[way.scheme], stores[name], {}))
        for turn in range(rounds + 1):
            for name, count in chance.sample(
                [(name, n) for name in WAYS for n in connections], len(WAYS) * len(connections)
            ):
                way = WAYS[name]
                ids = register(stores[name], max(count, int(events * way.share)))
                rate = asyncio.run(post_all(ports[name], make_posts(ids, keys[way.scheme]), count))
                if turn:  # the first warms up
                    rates[count][name].append(rate)
    return rates


def main() -> None:
    """Print the tables and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4_000, help="a way and round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rates = measure((64, 16), arguments.events, arguments.rounds, arguments.seed)
    figures = [
        Figure.of(
            f"{mine} ÷ {theirs}, {connections} connections",
            ratios(rates[connections][mine], rates[connections][theirs]),
            goal=goal,
        )
        for (connections, mine, theirs), goal in GOALS.items()
    ]
    figures += [Figure.of(f"{name}, 64 connections", values, "events/s") for name, values in rates[64].items()]
    said = {str(n): {name: spread(values) for name, values in of.items()} for n, of in rates.items()}
    print(f"kept in {keep('receiver_throughput', {'events_a_second': said}, figures)}")


if __name__ == "__main__":
    main()
