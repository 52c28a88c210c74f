"""Waiting by Airflow's ``/wait``, through either client: the end, the result, and whatever may go wrong on the way."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ringback_receiver import (
    AirflowClient,
    AirflowRequestRejected,
    AsyncAirflowClient,
    RunFailed,
    RunNotFound,
    WaitTimeout,
)
from ringback_receiver._airflow_http import LARGEST_ANSWER

pytestmark = pytest.mark.anyio

NO_RUN = {"detail": "The DagRun with dag_id: `sales` and run_id: `r1` was not found"}
NO_ROUTE = {"detail": "API route not found"}
END = {"state": "success"}


class Airflow:
    """A real HTTP server; ``/wait`` answers from a script, a list of answers, the last one again and again.

    An answer is a status with a body, or a list of lines, where a number is a pause in seconds and ``None`` the end
    of the connection.
    """

    def __init__(
        self, *script: tuple[int, Any] | list[Any], state: str = "success", before: Sequence[str] = ()
    ) -> None:
        self.script = list(script)
        self.state = state
        self.before = list(before)
        self.asked: list[str] = []
        self.url = ""

    def next(self) -> tuple[int, Any] | list[Any]:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@contextmanager
def serving(airflow: Airflow) -> Iterator[Airflow]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            airflow.asked.append(self.path)
            if "/wait" not in self.path:
                state = airflow.before.pop(0) if airflow.before else airflow.state
                if state == "away":
                    self.reply(200, "a proxy's page")
                    return
                run = {"dag_run_id": "r1", "dag_id": "sales", "state": state}
                self.reply(404, NO_RUN) if airflow.state == "gone" else self.reply(200, run)
                return
            answer = airflow.next()
            if isinstance(answer, tuple):
                self.reply(*answer)
                return
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for line in answer:
                if line is None:
                    self.close_connection = True
                    return
                if isinstance(line, float):
                    time.sleep(line)
                    continue
                data = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")

        def reply(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # the client has heard enough
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    airflow.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield airflow
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=[AirflowClient, AsyncAirflowClient], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


async def wait(kind: Any, airflow: Airflow, *, timeout: float = 10.0, patience: float = 5.0, **options: Any) -> Any:
    client = kind(airflow.url, token="t", timeout=patience, trust_env=False)
    try:
        result = client.wait_for_result("sales", "r1", timeout=timeout, **{"interval": 0.02, **options})
        return await result if inspect.isawaitable(result) else result
    finally:
        closed = client.close() if kind is AirflowClient else client.aclose()
        if inspect.isawaitable(closed):
            await closed


async def test_the_end_brings_the_result(kind: Any) -> None:
    """In one request, and the states are told as they change."""
    told: list[str] = []
    running = {"state": "running"}
    lines = [{"state": "queued"}, running, 0.05, running, {**END, "results": {"publish": {"rows": 3}}}]
    with serving(Airflow(lines)) as airflow:
        done = await wait(kind, airflow, on_state=told.append)
    assert (done.result, done.run.state, done.run.run_id) == ({"rows": 3}, "success", "r1")
    assert told == ["queued", "running", "success"]
    assert airflow.asked == ["/api/v2/dags/sales/dagRuns/r1/wait?interval=0.02", "/api/v2/dags/sales/dagRuns/r1"]


async def test_lines_may_come_in_pieces(kind: Any) -> None:
    """The network cuts where it likes."""
    with serving(Airflow([b'{"state": "suc', 0.03, b'cess", "results": {"a": 1, "b"', b": 2}}\n"])) as airflow:
        assert (await wait(kind, airflow)).result == {"a": 1, "b": 2}


async def test_a_run_that_fails_is_an_error(kind: Any) -> None:
    """With the run."""
    with serving(Airflow([{"state": "failed"}], state="failed")) as airflow:
        with pytest.raises(RunFailed) as caught:
            await wait(kind, airflow)
        assert caught.value.run.state == "failed"


async def test_a_run_that_is_deleted_meanwhile_is_not_found(kind: Any) -> None:
    """Airflow ends its answer without a word, and does not know the run when it is asked again."""
    with serving(Airflow([{"state": "queued"}], (404, NO_RUN))) as airflow, pytest.raises(RunNotFound):
        await wait(kind, airflow)


@pytest.mark.parametrize(
    "answer",
    [
        (404, NO_ROUTE),
        (405, {}),
        (403, {"detail": "Forbidden"}),
        [b"<html>\n"],
        [b'{"state": 7}\n'],
        [b"x" * (LARGEST_ANSWER + 100_000)],
    ],
    ids=["no route", "no method", "forbidden", "no JSON", "other JSON", "endless line"],
)
async def test_without_a_wait_it_polls(kind: Any, answer: Any) -> None:
    """Airflow 3.0 has none, and it is experimental."""
    with serving(Airflow(answer)) as airflow:
        done = await wait(kind, airflow)
    assert (done.run.state, done.result) == ("success", None)
    assert [path.endswith("/r1") for path in airflow.asked] == [False, True]


@pytest.mark.parametrize(
    "trouble",
    [(503, {}), (429, {}), [{"state": "running"}], [b'{"state": "run'], [{"state": "running"}, None], [None]],
    ids=["503", "429", "end", "cut", "lost", "lost at once"],
)
async def test_what_may_pass_is_outlived(kind: Any, trouble: Any) -> None:
    """An API server that restarts, a proxy with a limit of its own."""
    with serving(Airflow(trouble, trouble, [{**END, "results": {"a": 1}}])) as airflow:
        assert (await wait(kind, airflow)).result == 1


async def test_silence_is_not_endured(kind: Any) -> None:
    """A connection that has died without a word is given up, and made anew."""
    with serving(Airflow([{"state": "running"}, 1.5, END], [END])) as airflow:
        started = time.monotonic()
        await wait(kind, airflow, patience=0.2)
        assert time.monotonic() - started < 1.5


async def test_the_time_ends_the_wait(kind: Any) -> None:
    """However long Airflow would go on telling, and with what was last seen."""
    endless = [0.05, {"state": "running"}] * 40
    with serving(Airflow(endless, state="running")) as airflow:
        started = time.monotonic()
        with pytest.raises(WaitTimeout) as caught:
            await wait(kind, airflow, timeout=0.3)
        assert time.monotonic() - started < 1.5
        assert caught.value.run is not None
        assert caught.value.run.state == "running"


async def test_a_refused_run_id_is_told(kind: Any) -> None:
    """Polling would be refused, too, and its error says why."""
    with serving(Airflow((404, NO_RUN), state="gone")) as airflow, pytest.raises(AirflowRequestRejected):
        await wait(kind, airflow)


async def test_a_page_from_elsewhere_late_in_a_wait_is_outlived(kind: Any) -> None:
    """Airflow had answered by ``/wait``, so that the address is right and a proxy has lost its way."""
    with serving(Airflow([END], before=["away", "away"])) as airflow:
        assert (await wait(kind, airflow)).run.state == "success"


async def test_a_result_goes_with_its_own_end_only(kind: Any) -> None:
    """A run that was cleared at once ended a second time, with a result that nobody has told."""
    with serving(Airflow([{**END, "results": {"publish": 1}}], before=["running"])) as airflow:
        done = await wait(kind, airflow)
    assert (done.run.state, done.result) == ("success", None)
