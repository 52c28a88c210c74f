"""What 500 clients that never finish a request do to one that does.

The receiver runs in a process of its own, on uvicorn with the settings that docs/receiver-limits.md recommends.
The kinds of slow clients take turns, and each round begins with none, so that a machine's moods hit all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timezone

import psutil
import uvicorn
from fastapi import FastAPI

from benchmarks._figures import Figure, keep, ratios, spread
from ringback_protocol import CompletionData, CompletionEvent, PrivateKey, encode_event, event_id, sign
from ringback_receiver import Receiver

URL = "https://portal.example/airflow/completions"
RECOMMENDED: dict[str, int | str] = {
    "http": "h11",
    "h11_max_incomplete_event_size": 16_384,
    "limit_concurrency": 2_000,
    "timeout_keep_alive": 5,
}

_HEAD = b"POST /airflow/completions HTTP/1.1\r\nhost: portal.example\r\ncontent-type: application/json\r\n"
_BEGINNINGS: dict[str, bytes] = {
    "silent": b"",
    "dripping heads": _HEAD + b"x-drip: ",
    "dripping bodies": _HEAD + b"content-length: 19000\r\n\r\n{",
}
_DRIP_SECONDS = 1.0


def serve(folder: str, key: str) -> None:
    """Be the server: say the port, and serve until the end."""
    receiver = Receiver(URL, key, store=f"sqlite:///{folder}/ringback.db")
    app = FastAPI(lifespan=receiver.lifespan)
    app.include_router(receiver.router)
    config = uvicorn.Config(app, port=0, log_level="error", **RECOMMENDED)  # type: ignore[arg-type]
    listener = config.bind_socket()
    listener.listen(2_048)  # so that whoever reads the port can connect
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def serving(key: PrivateKey) -> Iterator[tuple[int, int]]:
    """Run the server in a process of its own; its port and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.slow_clients", "--serve", folder, str(key.public())]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline()), process.pid
            finally:
                process.terminate()


async def drip(port: int, beginning: bytes) -> None:
    """Be a slow client, again and again."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(beginning)
                while not reader.at_eof():
                    if beginning:
                        writer.write(b"x")
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(reader.read(1_000), _DRIP_SECONDS)
            finally:
                writer.close()


@asynccontextmanager
async def slow(port: int, clients: int, beginning: bytes) -> AsyncIterator[None]:
    """Have so many slow clients."""
    tasks = [asyncio.create_task(drip(port, beginning)) for _ in range(clients)]
    await asyncio.sleep(2)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def deliver(port: int, key: PrivateKey, number: int) -> float:
    """Deliver one event over a new connection; the milliseconds until its answer."""
    now = datetime.now(timezone.utc)
    data = CompletionData(dag_id="sales", run_id=f"run_{number}", state="success", reported_by="task", start_date=now)
    name = event_id(source="x", dag_id="sales", run_id=data.run_id, start_date=now, state="success", callback_url=URL)
    body = encode_event(CompletionEvent.of(data, id=name, source="x", audience=URL, correlationid=None, time=now))
    headers = sign(name, body, keys=[key], timestamp=int(time.time()))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_HEAD + f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.readline()
    taken = (time.perf_counter() - began) * 1_000
    writer.close()
    assert b" 202 " in answer, answer
    return taken


async def measure(clients: int, rounds: int, samples: int) -> tuple[dict[str, list[list[float]]], dict[str, float]]:
    """Return the milliseconds of each kind, round by round, and the server's megabytes beside it."""
    key = PrivateKey.generate()
    taken: dict[str, list[list[float]]] = {"none": [], **{kind: [] for kind in _BEGINNINGS}}
    memory: dict[str, float] = {}
    numbers = itertools.count()
    with serving(key) as (port, process_id):
        for _ in range(rounds):
            for kind, by_round in taken.items():
                values = []
                async with slow(port, clients if kind in _BEGINNINGS else 0, _BEGINNINGS.get(kind, b"")):
                    for _ in range(samples):
                        values.append(await deliver(port, key, next(numbers)))
                        await asyncio.sleep(0.01)
                    memory[kind] = round(psutil.Process(process_id).memory_info().rss / 1e6, 1)
                by_round.append(values)
    return taken, memory


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_clients", description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=100, help="deliveries a kind and round")
    parser.add_argument("--serve", nargs=2, metavar=("FOLDER", "KEY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(*arguments.serve)
        return
    taken, memory = asyncio.run(measure(arguments.clients, arguments.rounds, arguments.samples))
    medians = {kind: [statistics.median(values) for values in by_round] for kind, by_round in taken.items()}
    alone = medians["none"]
    figures = [
        Figure.of(f"an honest delivery beside {arguments.clients} clients, {kind} ÷ none", ratios(medians[kind], alone))
        for kind in _BEGINNINGS
    ]
    details = {
        "slow_clients": arguments.clients,
        "uvicorn": RECOMMENDED,
        "milliseconds_of_an_honest_delivery": {
            kind: spread(list(itertools.chain.from_iterable(by_round))) for kind, by_round in taken.items()
        },
        "server_megabytes": memory,
    }
    print(f"  server's memory in MB: {memory}")
    print(f"kept in {keep('slow_clients', details, figures)}")


if __name__ == "__main__":
    main()
