"""Real HTTP servers on the loopback for the relay's tests: scripted receivers and a small Airflow REST API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Request:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=time.time)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass
class Response:
    """What to answer.

    :param then: ``close`` the connection after it without saying so, as servers do with idle ones.
    """

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    then: str = "keep"


HANG = Response(status=0, then="hang")
RESET = Response(status=0, then="reset")


class Loopback:
    """An HTTP/1.1 server with a loop and a thread of its own."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.port = 0
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Any:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="test-loopback")
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: Request) -> Response:
        raise NotImplementedError

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._talk(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while True:
                request = await _read(reader, number)
                self.requests.append(request)
                response = await self.answer(request)
                if response.then == "hang":
                    await asyncio.sleep(60)
                if response.then == "reset":
                    writer.transport.abort()
                    return
                headers = {"content-length": str(len(response.body)), **response.headers}
                head = f"HTTP/1.1 {response.status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
                writer.write(head.encode() + b"\r\n" + response.body)
                await writer.drain()
                if response.then == "close":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(Exception):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, number: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head[:-4].split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method=method, target=target, headers=headers, body=body, connection=number)


Script = Callable[[Request], Response | Coroutine[Any, Any, Response]]


class Receiver(Loopback):
    """A receiver that answers by a script; by default 204."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__()
        self.script: Script = script or (lambda request: Response())

    @property
    def url(self) -> str:
        return f"{self.base}/completions"

    @property
    def ids(self) -> list[str]:
        """The event ids in the order of their arrival."""
        return [request.headers["webhook-id"] for request in self.requests]

    async def answer(self, request: Request) -> Response:
        answer = self.script(request)
        return await answer if asyncio.iscoroutine(answer) else answer  # type: ignore[return-value]


@dataclass
class FakeRun:
    """A row of Airflow's table of runs.

    :param updated_at: in Unix seconds.
    :param visible_at: when it is committed, in Unix seconds.
    """

    dag_id: str
    run_id: str
    state: str = "success"
    conf: Any = None
    start: float | None = None
    end: float | None = None
    updated_at: float = 0.0
    visible_at: float = 0.0

    def shown(self) -> dict[str, Any]:
        return {
            "dag_run_id": self.run_id,
            "dag_id": self.dag_id,
            "logical_date": None,
            "queued_at": None,
            "start_date": _text(self.start),
            "end_date": _text(self.end),
            "run_after": _text(self.start or 0.0),
            "state": self.state,
            "conf": self.conf,
            "note": None,
            "dag_versions": [],
        }


class FakeAirflow(Loopback):
    """The part of Airflow's REST API that the relay uses, with the quirks of the real one.

    :param cursors: whether it knows them, and ``conf_contains`` (Airflow 3.3 and later).
    :param patterns: whether it knows ``run_id_pattern`` (Airflow 3.1 and later).
    """

    def __init__(self, *, cursors: bool = True, patterns: bool = True) -> None:
        super().__init__()
        self.runs: list[FakeRun] = []
        self.cursors = cursors
        self.patterns = patterns
        self.password = "hush"
        self.tokens = 0
        self.valid = 0
        self.trouble: Callable[[Request], Response | None] = lambda request: None
        self.poisoned: dict[int, Response] = {}
        """What is answered instead of any list with the run of this number."""
        self.stale_cursors: set[str] = set()
        self.most = 100
        self.delay = 0.0
        self.clock: Callable[[], float] = time.time

    def expire_tokens(self) -> None:
        """Take no token that was issued so far."""
        self.valid = self.tokens + 1

    def lists(self) -> list[Request]:
        return [request for request in self.requests if request.path == "/api/v2/dags/~/dagRuns"]

    def sweeps(self) -> list[Request]:
        return [request for request in self.lists() if "updated_at_lte" in request.query]

    def singles(self) -> list[Request]:
        return [request for request in self.requests if re.fullmatch(r"/api/v2/dags/[^~/]+/dagRuns/.+", request.path)]

    async def answer(self, request: Request) -> Response:
        if self.delay:
            await asyncio.sleep(self.delay)
        if (trouble := self.trouble(request)) is not None:
            return trouble
        if request.path == "/api/v2/version":
            return self._json(200, {"version": "3.3.2"})
        if request.path == "/auth/token":
            return self._token(request)
        token = request.headers.get("authorization", "")
        if not token.startswith("Bearer token") or int(token.removeprefix("Bearer token")) < self.valid:
            return self._json(401, {"detail": "Invalid JWT token"})
        if request.path == "/api/v2/dags/~/dagRuns":
            return self._list(request.query)
        dag_id, run_id = (unquote(part) for part in request.path.split("/")[4:7:2])
        for run in self._visible():
            if (run.dag_id, run.run_id) == (dag_id, run_id):
                return self._json(200, run.shown())
        return self._json(404, {"detail": "The DagRun was not found"})

    def _token(self, request: Request) -> Response:
        if request.method != "POST" or json.loads(request.body) != {
            "username": "relay",
            "password": self.password,
        }:
            return self._json(401, {"detail": "Invalid credentials"})
        self.tokens += 1
        return self._json(201, {"access_token": f"token{self.tokens}"})

    def _visible(self) -> list[FakeRun]:
        return [run for run in self.runs if run.visible_at <= time.time()]

    def _list(self, query: dict[str, list[str]]) -> Response:
        runs = list(enumerate(self._visible()))
        if self.patterns:
            for name in ("run_id", "dag_id"):
                if f"{name}_pattern" in query:
                    terms = [term.lower() for term in query[f"{name}_pattern"][0].split("|")]
                    runs = [row for row in runs if any(term in getattr(row[1], name).lower() for term in terms)]
        if self.cursors and "conf_contains" in query:
            runs = [row for row in runs if query["conf_contains"][0] in json.dumps(row[1].conf)]
        if "state" in query:
            runs = [row for row in runs if row[1].state in query["state"]]
        if "updated_at_gte" in query:
            runs = [row for row in runs if row[1].updated_at >= _moment(query["updated_at_gte"][0])]
        if "updated_at_lte" in query:
            runs = [row for row in runs if row[1].updated_at <= _moment(query["updated_at_lte"][0])]
        if query["order_by"] in (["updated_at"], ["-updated_at"]):
            newest_first = query["order_by"] == ["-updated_at"]
            runs.sort(key=lambda row: (row[1].updated_at, row[0]), reverse=newest_first)
        else:
            assert query["order_by"] == ["-id"]
            runs.reverse()
        limit = min(int(query["limit"][0]), self.most)
        answer: dict[str, Any] = {"total_entries": len(runs)}
        if self.cursors and "cursor" in query:
            if query["cursor"][0] in self.stale_cursors:
                return self._json(400, {"detail": "Invalid cursor token"})
            if cursor := query["cursor"][0]:
                updated, row_id = cursor.split("_")
                runs = [row for row in runs if (row[1].updated_at, row[0]) > (float(updated), int(row_id))]
            more = len(runs) > limit
            runs = runs[:limit]
            answer["next_cursor"] = f"{runs[-1][1].updated_at!r}_{runs[-1][0]}" if more else None
        else:
            offset = int(query.get("offset", ["0"])[0])
            runs = runs[offset : offset + limit]
            if self.cursors:
                answer["next_cursor"] = None
        for number, _ in runs:
            if number in self.poisoned:
                return self.poisoned[number]
        return self._json(200, {**answer, "dag_runs": [run.shown() for _, run in runs]})

    def _json(self, status: int, value: Any) -> Response:
        date = format_datetime(datetime.fromtimestamp(int(self.clock()), timezone.utc), usegmt=True)
        headers = {"content-type": "application/json", "date": date}
        return Response(status=status, headers=headers, body=json.dumps(value).encode())


def _text(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
