"""A server with runs, as Airflow's REST API shows them; it can be made to misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

__all__ = ["RunsServer"]


class RunsServer:
    """Takes triggers, and answers for the runs; used as an httpx transport, or on the air.

    :param limit: ``[api] maximum_page_limit``.
    """

    def __init__(self, *, limit: int = 100) -> None:
        self.runs: dict[tuple[str, str], dict[str, Any]] = {}
        self.limit = limit
        self.lists: list[str] = []
        """The ``run_id_pattern`` of each list that was asked for."""
        self.singles: list[str] = []
        self.outage: int | None = None
        """The status of every answer, if Airflow is away."""
        self.poison: set[str] = set()
        """Run ids that no answer with them gets through."""
        self.asked = 0
        """How often it was asked, whatever it answered."""
        self.gone_says = "The DagRun with dag_id: `{dag_id}` and run_id: `{run_id}` was not found"
        self.hidden_dags: set[str] = set()
        self.only_by_dag = False
        """Whether the list of all DAGs is forbidden."""

    def add(self, run_id: str, state: str = "running", *, dag_id: str = "sales", **changes: Any) -> None:
        """Have a run."""
        self.runs[dag_id, run_id] = {
            "dag_id": dag_id,
            "dag_run_id": run_id,
            "state": state,
            "conf": {"region": "APAC"},
            "logical_date": None,
            "run_after": "2026-07-02T12:00:00Z",
            "start_date": "2026-07-02T12:00:00.000001Z",
            "end_date": None if state == "running" else "2026-07-02T12:00:12.400001Z",
            **changes,
        }

    def end(self, state: str = "success") -> None:
        """Let every run end."""
        for dag_id, run_id in list(self.runs):
            self.add(run_id, state, dag_id=dag_id)

    def transport(self) -> httpx.MockTransport:
        """Answer without a socket."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                return httpx.Response(200, json=self.trigger(request.url.path, json.loads(request.content)))
            status, body = self.answer(request.url.path, dict(request.url.params))
            return httpx.Response(status, json=body)

        return httpx.MockTransport(answer)

    @asynccontextmanager
    async def on_air(self) -> AsyncIterator[str]:
        """Serve on a free loopback port; give its base URL."""
        app = FastAPI()

        @app.post("/api/v2/dags/{dag_id}/dagRuns")
        async def trigger(request: Request) -> Response:
            return JSONResponse(self.trigger(request.url.path, await request.json()))

        @app.get("/{path:path}")
        async def get(path: str, request: Request) -> Response:
            status, body = self.answer(f"/{path}", dict(request.query_params))
            return JSONResponse(body, status)

        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                assert not task.done(), task.result()
                await asyncio.sleep(0.01)
            try:
                yield "http://{}:{}".format(*listener.getsockname())
            finally:
                server.should_exit = True
                await task

    def trigger(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Create a run."""
        dag_id, run_id = path.split("/")[4], asked["dag_run_id"]
        self.add(run_id, "queued", dag_id=dag_id, conf=asked["conf"], start_date=None)
        return self.runs[dag_id, run_id]

    def answer(self, path: str, params: dict[str, str]) -> tuple[int, Any]:
        """Answer a GET."""
        self.asked += 1
        if self.outage is not None:
            return self.outage, {"detail": "away"}
        _, _, _, _, dag_id, _, *run_id = path.split("/")
        if run_id:
            self.singles.append(run_id[0])
            return self._single(dag_id, run_id[0])
        if (dag_id == "~" and self.only_by_dag) or dag_id in self.hidden_dags:
            return 403, {"detail": "Forbidden"}
        if "updated_at_gte" in params:
            return 200, {"dag_runs": [], "total_entries": 0}
        self.lists.append(params["run_id_pattern"])
        terms = [term.lower() for term in params["run_id_pattern"].split("|")]
        found = [
            run
            for (dag, name), run in reversed(self.runs.items())
            if dag_id in ("~", dag) and dag not in self.hidden_dags and any(term in name.lower() for term in terms)
        ]
        page = found[: min(int(params["limit"]), self.limit)]
        if any(run["dag_run_id"] in self.poison for run in page):
            return 500, {"detail": "cannot show"}
        return 200, {"dag_runs": page, "total_entries": len(found)}

    def _single(self, dag_id: str, run_id: str) -> tuple[int, Any]:
        if dag_id in self.hidden_dags:
            return 403, {"detail": "Forbidden"}
        if run_id in self.poison:
            return 500, {"detail": "cannot show"}
        if (dag_id, run_id) not in self.runs:
            return 404, {"detail": self.gone_says.format(dag_id=dag_id, run_id=run_id)}
        return 200, self.runs[dag_id, run_id]
