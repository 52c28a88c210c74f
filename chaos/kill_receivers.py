"""The proof that a 2xx is kept: receivers, and the database below them, are killed under load.

On each store, two replicas take two racing endings of every request from senders that go on until they are answered.
Then every acknowledged event must be there, and no request may have been resolved twice.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks._figures import keep
from benchmarks._receiver_load import register
from benchmarks.receiver_throughput import prepared
from chaos._receiver_crowd import Crowd
from chaos._receiver_judge import rows_of, violations
from chaos._receiver_replicas import Replicas
from demo.local_airflow import free_port
from demo.local_postgres import LocalPostgres
from ringback_protocol import PrivateKey
from ringback_receiver._migrate import migrate

_STORES = ("sqlite", "postgresql")
_REQUESTS = 60_000
_REPLICAS = 2
_SHOWN = 20
_EXCEPTION = re.compile(r"^([\w.]+(?:Error|Exception)\b.{0,120})", re.MULTILINE)
_LEAST_EVENTS = 20
"""Between two kills; fewer would be no load."""


def main() -> int:
    """Run the proof; 0 if all holds."""
    parser = argparse.ArgumentParser(prog="python -m chaos.kill_receivers", description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="of receivers, on each store")
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument("--store", choices=_STORES, action="append", help="only on this one")
    arguments = parser.parse_args()
    print(f"chaos-receiver: {arguments.kills} kills on each store, seed {arguments.seed}", flush=True)
    found = {kind: prove(kind, arguments.kills, f"{arguments.seed}/{kind}") for kind in arguments.store or _STORES}
    print(f"kept in {keep('chaos_receiver', {'seed': arguments.seed, **found})}")
    wrong = sum(of["violations"] for of in found.values())
    print(f"{'It does NOT hold' if wrong else 'All holds'}, seed {arguments.seed}.")
    return 1 if wrong else 0


def prove(kind: str, kills: int, seed: str) -> dict[str, Any]:
    """Kill one store's receivers under load, and judge."""
    began = time.monotonic()
    chance = random.Random(f"{seed}/killer")
    with contextlib.ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ringback-chaos-", ignore_cleanup_errors=True))
        )
        postgres = None
        if kind == "postgresql":
            postgres = stack.enter_context(LocalPostgres(folder / "postgres", free_port()))
            store = postgres.create("chaos")
            migrate(store)
        else:
            store = f"sqlite:///{folder}/ringback.db"
            asyncio.run(prepared(store))
        key = PrivateKey.generate()
        requests = register(store, _REQUESTS)
        log = folder / "receivers.log"
        replicas = Replicas(store, str(key.public()), count=_REPLICAS, log=log, postgres=postgres)
        stack.callback(replicas.close)
        replicas.wait_until_ready()
        crowd = Crowd(requests, replicas.ports, key, random.Random(f"{seed}/crowd"))
        sending = threading.Thread(target=crowd.run, name="crowd", daemon=True)
        sending.start()
        died = 0
        while replicas.kills["receiver"] < kills:
            time.sleep(chance.uniform(0.1, 0.8))
            died += replicas.revive()
            replicas.strike(chance)
        time.sleep(1.0)
        crowd.stop()
        sending.join(60)
        exceptions = Counter(_EXCEPTION.findall(log.read_text(errors="replace")))
        wrong = list(violations(crowd.acknowledged, *rows_of(store)))
        if len(crowd.acknowledged) < _LEAST_EVENTS * kills:
            wrong.append(f"only {len(crowd.acknowledged)} events were acknowledged: that proves little")
    found = {
        "kills": dict(replicas.kills),
        "died_of_themselves": died,
        "answers": dict(crowd.statuses.most_common()),
        "exceptions_logged": dict(exceptions),
        "events_acknowledged": len(crowd.acknowledged),
        "requests": len(set(crowd.acknowledged.values())),
        "seconds": round(time.monotonic() - began, 1),
        "violations": len(wrong),
    }
    print(f"{kind}:")
    for name, value in found.items():
        print(f"  {name.replace('_', ' '):22} {value}")
    for line in wrong[:_SHOWN]:
        print(f"  WRONG {line}")
    return found


if __name__ == "__main__":
    sys.exit(main())
