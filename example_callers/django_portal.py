"""Django views that ask for reports and are rung back when they are ready: a ``ROOT_URLCONF``."""

from __future__ import annotations

import json
import os

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from ringback_protocol import MAX_EVENT_BYTES
from ringback_receiver import AirflowClient, Completion, CompletionTimeout, SyncReceiver, UnknownRequest

receiver = SyncReceiver(
    "https://portal.example/airflow/completions",
    os.environ["RINGBACK_KEYS"].split(),
    AirflowClient.from_environment(),
    os.environ.get("RINGBACK_STORE", "sqlite:///portal.db"),
)

emails: list[str] = []


@receiver.on_completion("sales_report", max_attempts=20)
def send_email(completion: Completion) -> None:
    emails.append(f"{completion.metadata['for']}: {completion.state}")


@csrf_exempt  # the signature says who it is
@require_POST
def take_completion_event(request: HttpRequest) -> HttpResponse:
    receiver.open()  # costs nothing while it is open; each worker opens its own
    answer = receiver.handle(request.headers, request.read(MAX_EVENT_BYTES + 1))
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


@csrf_exempt  # an example has no forms
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    receiver.open()
    run = receiver.trigger("sales_report", conf=json.loads(request.body), metadata={"for": "sales@example.com"})
    return JsonResponse({"request_id": run.request_id}, status=202)


@require_GET
def look(request: HttpRequest, request_id: str) -> HttpResponse:
    receiver.open()
    try:
        completion = receiver.request(request_id).completion(timeout=0)
    except UnknownRequest:
        return JsonResponse({"error": "unknown"}, status=404)
    except CompletionTimeout:
        return JsonResponse({"state": "running"})
    return JsonResponse({"state": completion.state, "result": completion.result})


urlpatterns = [
    path("airflow/completions", take_completion_event),
    path("reports", ask),
    path("reports/<str:request_id>", look),
]
