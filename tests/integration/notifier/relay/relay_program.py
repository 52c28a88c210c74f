"""A relay in a process of its own, to be killed: ``relay_program.py OUTBOX_URL LEASE_SECONDS``."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack

from relay_world import World

from ringback_notifier.outbox import Outbox


async def main(url: str, lease: float) -> None:
    outbox = Outbox.open(url, wait=5.0)
    world = World(url=url, outbox=outbox, stack=ExitStack())
    print("draining", flush=True)
    await world.relay(owner="killed", lease=lease, attempt_timeout=lease / 2 - 0.1).drain(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
