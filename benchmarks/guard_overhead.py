"""What the address guard costs on a connection that is kept: each way of sending against plain httpx, in pairs.

The guard judges when a connection is made; what is left of it afterwards is the deadline around every read and
write.  One loopback server in a process of its own; the ways alternate in a random order, batch by batch.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network

import httpcore
import httpx
import ssrfguard.httpx
from ssrfguard import Policy

from benchmarks._figures import Figure, at_most, keep, ratios, spread
from ringback_notifier._addresses import AddressRules
from ringback_notifier._delivery import Delivery
from ringback_notifier._destination import Destination
from ringback_notifier._exchange import request_headers
from ringback_notifier._network import Backend, Deadline
from ringback_notifier._pools import http_url
from ringback_notifier.relay._sender import Sender
from ringback_protocol import PrivateKey, parse_callback_url

_BODY = b'{"n":1}' * 150
_HEADERS = {"content-type": "application/json"}
_SERVER = """
import asyncio
async def talk(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\\r\\n")[0])
            await reader.readexactly(length)
            writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
Batch = Callable[[int], None]


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a server that takes everything, and give its URL."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/airflow/completions"
    finally:
        process.kill()
        process.wait()


def destination() -> Destination:
    """Return a destination that allows the loopback."""
    rules = AddressRules(networks=(ip_network("127.0.0.0/8"),))
    return Destination(name="default", keys=(PrivateKey.generate(),), allow=(), addresses=rules)


@contextlib.contextmanager
def ways(url: str) -> Iterator[dict[str, Batch]]:
    """Open a kept connection for every way of sending."""
    to = destination()
    deadline = Deadline(0.0)
    guarded_pool = httpcore.ConnectionPool(network_backend=Backend(admit=to.guard.admit, deadline=deadline))
    pool = httpcore.ConnectionPool(network_backend=Backend(admit=to.guard.admit, deadline=deadline))
    transport = httpx.HTTPTransport()
    transport._pool = guarded_pool
    parts = parse_callback_url(url)
    policy = Policy(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_ports=frozenset({parts.port}))
    loop, sender, async_plain = asyncio.new_event_loop(), Sender(timeout=30), httpx.AsyncClient(trust_env=False)
    delivery = Delivery(event_id="msg_1", url=url, body=_BODY, destination=to)
    headers = [*request_headers(delivery, parts)]
    context = ssl.create_default_context()

    with (
        httpx.Client(trust_env=False) as plain,
        httpx.Client(transport=transport, trust_env=False) as guarded,
        ssrfguard.httpx.Client(policy=policy) as library,
        pool,
    ):

        def through(client: httpx.Client) -> Batch:
            def batch(count: int) -> None:
                for _ in range(count):
                    deadline.at = time.monotonic() + 30
                    client.post(url, content=_BODY, headers=_HEADERS)

            return batch

        def own(count: int) -> None:
            for _ in range(count):
                deadline.at = time.monotonic() + 30
                pool.request("POST", http_url(parts), headers=headers, content=_BODY)

        def async_plain_batch(count: int) -> None:
            async def run() -> None:
                for _ in range(count):
                    await async_plain.post(url, content=_BODY, headers=_HEADERS)

            loop.run_until_complete(run())

        def relay(count: int) -> None:
            async def run() -> None:
                for _ in range(count):
                    await sender.send(delivery, context)

            loop.run_until_complete(run())

        yield {
            "httpx": through(plain),
            "httpx, over the guarded backend": through(guarded),
            "httpx, over ssrfguard": through(library),
            "final task's connections": own,
            "httpx, in an event loop": async_plain_batch,
            "relay's connections (signing included)": relay,
        }
        loop.run_until_complete(async_plain.aclose())
        loop.run_until_complete(sender.aclose())
    loop.close()


AGAINST = {
    "httpx, over the guarded backend": "httpx",
    "httpx, over ssrfguard": "httpx",
    "final task's connections": "httpx",
    "relay's connections (signing included)": "httpx, in an event loop",
}
GOALS = {"httpx, over the guarded backend": at_most(1.05)}


def main() -> None:
    """Print the ratios; the exit code tells nothing, for timings are no test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--count", type=int, default=200, help="requests a batch (default: 200)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    taken: dict[str, list[float]] = {}
    with server() as url, ways(url) as open_ways:
        order = list(open_ways)
        for number in range(arguments.rounds + 1):
            chance.shuffle(order)
            for name in order:
                started = time.perf_counter()
                open_ways[name](arguments.count)
                if number:  # the first opens the connections
                    taken.setdefault(name, []).append((time.perf_counter() - started) / arguments.count)
    print(f"Time of a request on a kept connection, as a ratio, median [quartiles] of {arguments.rounds} pairs:")
    figures = [
        Figure.of(f"{name} ÷ {base}", ratios(taken[name], taken[base]), goal=GOALS.get(name))
        for name, base in AGAINST.items()
    ]
    milliseconds = {name: spread([1_000 * value for value in values]) for name, values in taken.items()}
    print(f"kept in {keep('guard_overhead', {'milliseconds': milliseconds}, figures)}")


if __name__ == "__main__":
    main()
