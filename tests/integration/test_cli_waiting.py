"""``ringback trigger --wait`` against an Airflow that has bad moments: the run that it made is never lost sight of."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from typing import Any

from cli_servers import Asked, Reply, running, serving
from click.testing import Result
from typer.testing import CliRunner

from ringback_cli.exit_codes import ExitCode
from ringback_cli.main import make_app

RUNS = "/api/v2/dags/sales/dagRuns"
WEB_PAGE: Reply = (200, {"content-type": "text/html"}, b"<html>Be right back</html>\n")
BUSY: Reply = (503, {}, b"")


def said(value: Any) -> Reply:
    return 200, {"content-type": "application/json"}, json.dumps(value).encode() + b"\n"


def run(state: str) -> Reply:
    return said({"dag_id": "sales", "dag_run_id": "r1", "state": state, "conf": {}, "logical_date": None})


def airflow(*, wait: Callable[[], Reply], look: Callable[[], Reply]) -> Callable[[Asked], Reply]:
    """Return a server's answers; ``/auth/token`` and the trigger are always well."""

    def reply(asked: Asked) -> Reply:
        if asked.path == "/auth/token":
            return 201, {}, json.dumps({"access_token": "t"}).encode()
        if asked.method == "POST":
            return run("queued")
        return wait() if "/wait?" in asked.path else look()

    return reply


def ringback(url: str, *arguments: str) -> Result:
    account = {"RINGBACK_AIRFLOW_URL": url, "RINGBACK_AIRFLOW_USERNAME": "u", "RINGBACK_AIRFLOW_PASSWORD": "p"}
    return CliRunner().invoke(make_app(), [*arguments], env={"COLUMNS": "250", **account})


def test_a_busy_moment_after_a_trigger_is_outlived() -> None:
    """With one login for all of it."""
    looks = iter([BUSY])
    answers = airflow(
        wait=lambda: said({"state": "success", "results": {"publish": 3}}),
        look=lambda: next(looks, run("success")),
    )
    with serving(answers) as server:
        done = ringback(server.url, "trigger", "sales", "--run-id", "r1", "--wait")
    assert (done.exit_code, done.stdout) == (0, "3\n"), done.output
    assert [asked.path for asked in server.asked].count("/auth/token") == 1


def test_a_run_that_was_made_is_named_whatever_answers_then() -> None:
    """For people with the command that waits again, for programs by its id."""
    with serving(airflow(wait=lambda: WEB_PAGE, look=lambda: WEB_PAGE)) as server:
        done = ringback(server.url, "trigger", "sales", "--run-id", "r1", "--wait", "--json")
    assert (done.exit_code, json.loads(done.stdout)["run_id"]) == (ExitCode.UNREACHABLE, "r1"), done.output
    assert "`ringback wait sales r1`" in done.stderr


def test_an_account_that_may_trigger_but_not_look_learns_what_it_made() -> None:
    """Somebody else may wait for it."""
    denied: Reply = (403, {"content-type": "application/json"}, b'{"detail": "Forbidden"}')
    with serving(airflow(wait=lambda: denied, look=lambda: denied)) as server:
        done = ringback(server.url, "trigger", "sales", "--run-id", "r1", "--wait")
    assert done.exit_code == ExitCode.NOT_DONE, done.output
    assert "run r1 of sales was made, but its end cannot be seen" in done.stderr


def test_ctrl_c_while_triggering_names_the_run() -> None:
    """Airflow may have made it."""
    asked, leave = threading.Event(), threading.Event()

    def reply(request: Asked) -> Reply:
        if request.method == "POST" and request.path == RUNS:
            asked.set()
            leave.wait(30)
        return run("queued")

    with serving(reply) as server:
        account = {"RINGBACK_AIRFLOW_URL": server.url, "RINGBACK_AIRFLOW_TOKEN": "t"}
        with running("trigger", "sales", "--run-id", "r1", until=None, **account) as process:
            assert asked.wait(30)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=30)
        leave.set()
    assert process.returncode == ExitCode.INTERRUPTED
    assert "run r1 of sales may exist, see `ringback wait sales r1`" in error
