"""``ringback trigger`` and ``wait``: what is refused before anything is sent, and what each ending is told as."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from ringback_cli import run_outcome
from ringback_cli.exit_codes import ExitCode
from ringback_cli.main import make_app
from ringback_cli.run_outcome import RunOutcome
from ringback_protocol import CompletionData, CompletionEvent, FailedTask, ResultOmitted
from ringback_receiver import Completion, DagRun

WHEN = datetime(2026, 7, 2, tzinfo=timezone.utc)
RUN = DagRun(dag_id="sales", run_id="r1", state="success", run_url="https://airflow.example/r1")


def completion(**changes: Any) -> Completion:
    given = {"dag_id": "sales", "run_id": "r1", "state": "success", "reported_by": "task"} | changes
    event = CompletionEvent.of(
        CompletionData(**given), id="msg_1", source="s", audience="u", correlationid=None, time=WHEN
    )
    return Completion(event=event, request_id="req_1")


OUTCOMES = {
    "a result": (run_outcome.of_completion(completion(result={"rows": 3})), 0, '{"rows":3}\n', "said by its task"),
    "no result": (run_outcome.of_run(RUN), 0, "", "run r1 of sales succeeded: https://airflow.example/r1"),
    "too large": (
        run_outcome.of_completion(
            completion(result_omitted=ResultOmitted(reason="too_large", fetch_url="https://airflow.example/x"))
        ),
        0,
        "",
        "its result is not in the event (too_large), fetch https://airflow.example/x",
    ),
    "failed": (
        run_outcome.of_completion(
            completion(state="failed", reason="timed_out", failed_tasks=(FailedTask(task_id="load", state="failed"),))
        ),
        3,
        "",
        "ended in state failed (timed_out)",
    ),
    "failed, by Airflow's word": (
        run_outcome.of_run(msgspec.structs.replace(RUN, state="failed"), {"partial": 1}),
        3,
        "",
        "ended in state failed",
    ),
    "deleted": (
        run_outcome.of_completion(completion(state="failed", reason="deleted", reported_by="reconciler")),
        5,
        "",
        "deleted, or never was",
    ),
    "out of time": (run_outcome.timed_out("sales", "r1", "running"), 4, "", "`ringback wait sales r1`"),
    "away": (run_outcome.unreachable("sales", "r1", "refused"), 6, "", "run r1 may exist"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_ending_has_its_code_its_result_and_its_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The result alone on standard output; as JSON everything there."""
    outcome: RunOutcome
    outcome, code, printed, said = OUTCOMES[name]
    with pytest.raises(typer.Exit) as ended:
        outcome.end(as_json=False)
    out, err = capsys.readouterr()
    assert (ended.value.exit_code, out) == (code, printed)
    assert said in err
    with pytest.raises(typer.Exit) as ended:
        outcome.end(as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert (ended.value.exit_code, shown["exit_code"], shown["run_id"], shown["dag_id"]) == (code, code, "r1", "sales")


ACCOUNT = {"RINGBACK_AIRFLOW_URL": "http://127.0.0.1:1", "RINGBACK_AIRFLOW_TOKEN": "t"}


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ((), {}, "say where Airflow is, or set RINGBACK_AIRFLOW_URL"),
        (("--airflow", "http://127.0.0.1:1"), {}, "say as whom"),
        (("--airflow", "http://127.0.0.1:1", "--username", "portal"), {}, "set RINGBACK_AIRFLOW_PASSWORD"),
        (("--username", "portal", "--password-file", "s3cret"), ACCOUNT, "this file cannot be read"),
        (("--listen", "127.0.0.1:8787"), ACCOUNT, "it needs --wait and --callback-url"),
        (("--destination", "portal"), ACCOUNT, "it needs --callback-url"),
        (("--conf", "x"), ACCOUNT, "write name=value"),
        (("--run-id", "a b"), ACCOUNT, "1 to 250 letters"),
        (("--logical-date", "noon"), ACCOUNT, "no time such as"),
        (("--callback-url", "portal"), ACCOUNT, "must start with https://"),
        (("--callback-url", "https://p.example/", "--conf", "callback=1"), ACCOUNT, "asks for a callback already"),
        (("--callback-url", "portal", "--wait", "--listen", "127.0.0.1:0"), ACCOUNT, "must start with https://"),
        (
            ("--callback-url", "https://p.example/", "--wait", "--listen", "127.0.0.1:0", "--conf", "callback=1"),
            ACCOUNT,
            "asks for a callback already",
        ),
        (("--wait", "--timeout", "0"), ACCOUNT, "--timeout"),
        (
            ("--wait", "--callback-url", "https://p.example/", "--listen", "127.0.0.1:0"),
            ACCOUNT,
            "give a public key with --key",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_sent(
    arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    """Exit code 2, with the option's name; nothing that may be a secret is repeated."""
    done = CliRunner().invoke(make_app(), ["trigger", "sales", *arguments], env={"COLUMNS": "250", **variables})
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.replace("│", " ").split())
    assert "s3cret" not in done.output


@pytest.mark.parametrize("command", ["trigger", "wait"])
def test_a_name_that_is_no_text_is_told(command: str) -> None:
    """A shell passes on whatever bytes were typed."""
    names = ["sales\udcff", "r1"][: 1 if command == "trigger" else 2]
    done = CliRunner().invoke(make_app(), [command, *names], env={"COLUMNS": "250", **ACCOUNT})
    assert (done.exit_code, "no text in UTF-8" in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("command", [("trigger", "sales"), ("trigger", "sales", "--wait"), ("wait", "sales", "r1")])
def test_an_airflow_that_is_away_is_told_at_once(command: tuple[str, ...]) -> None:
    """Nobody waits for an hour for an address that was mistyped."""
    done = CliRunner().invoke(make_app(), [*command], env=ACCOUNT)
    assert done.exit_code == ExitCode.UNREACHABLE, done.output
    assert "Airflow cannot be reached" in done.stderr
    if "--wait" in command:
        assert "see `ringback wait sales ringback__" in done.stderr


@pytest.mark.parametrize("url", ["ftp://airflow.example", "https://u:hush@airflow.example", "airflow.example"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    """Without what it may hold."""
    done = CliRunner().invoke(make_app(), ["wait", "sales", "r1"], env={**ACCOUNT, "RINGBACK_AIRFLOW_URL": url})
    assert done.exit_code == ExitCode.NOT_DONE
    assert "base_url must" in done.stderr
    assert "hush" not in done.output
