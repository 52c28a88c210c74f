"""A Flask application that asks for reports and is rung back when they are ready."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, Response, abort, request

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver import AirflowClient, Completion, CompletionTimeout, SyncReceiver, UnknownRequest

receiver = SyncReceiver(
    "https://portal.example/airflow/completions",
    os.environ["RINGBACK_KEYS"].split(),
    AirflowClient.from_environment(),
    os.environ.get("RINGBACK_STORE", "sqlite:///portal.db"),
)
app = Flask(__name__)
app.before_request(receiver.open)  # costs nothing while it is open; each worker opens its own

emails: list[str] = []


@receiver.on_completion("sales_report", max_attempts=20)
def send_email(completion: Completion) -> None:
    emails.append(f"{completion.metadata['for']}: {completion.state}")


@app.post("/airflow/completions")
def take_completion_event() -> Response:
    answer = receiver.handle(list(request.headers), request.stream.read(MAX_EVENT_BYTES + 1))
    return Response(answer.body, answer.status, dict(answer.headers))


@app.post("/reports")
def ask() -> Any:
    run = receiver.trigger("sales_report", conf=request.get_json(), metadata={"for": "sales@example.com"})
    return {"request_id": run.request_id}, 202


@app.get("/reports/<request_id>")
def look(request_id: str) -> Any:
    try:
        completion = receiver.request(request_id).completion(timeout=0)
    except UnknownRequest:
        abort(404)
    except CompletionTimeout:
        return {"state": "running"}
    return {"state": completion.state, "result": completion.result}
