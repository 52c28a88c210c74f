"""``ringback send``: what would a receiver say to an event from Airflow?"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from ringback_cli.a_text import a_text
from ringback_cli.exit_codes import ExitCode
from ringback_cli.input_files import read_text
from ringback_cli.output import AsJson, print_json, print_line
from ringback_cli.present_keys import parse_present_keys, wrong_input_shown
from ringback_cli.problems import fail
from ringback_cli.run_conf import value_of

if TYPE_CHECKING:
    from ringback_protocol import SigningKey

__all__ = ["send"]

VARIABLE = "RINGBACK_SIGNING_KEY"


class State(str, Enum):
    """What happened to the run."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STARTED = "started"


_IN_AIRFLOW = {State.SUCCEEDED: "success", State.FAILED: "failed", State.STARTED: "running"}


def send(
    url: Annotated[str, typer.Argument(help="The callback URL.", callback=a_text)],
    state: Annotated[State, typer.Option(help="What happened to the run.")] = State.SUCCEEDED,
    dag_id: Annotated[str, typer.Option(help="The DAG's id.", metavar="ID", callback=a_text)] = "ringback_test",
    run_id: Annotated[
        str | None, typer.Option(help="The run's id; by default a new one.", metavar="ID", callback=a_text)
    ] = None,
    correlation_id: Annotated[
        str | None, typer.Option(help="Id of the request that is answered, req_….", metavar="ID", callback=a_text)
    ] = None,
    result: Annotated[
        str | None, typer.Option(help="What the DAG returned: JSON, or else a text.", metavar="VALUE", callback=a_text)
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            help="Why it ended so, in Airflow's words, such as task_failure.", metavar="WORD", callback=a_text
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="The Airflow that it is said to come from.", metavar="URL", callback=a_text)
    ] = "https://airflow.example",
    key_file: Annotated[
        str | None,
        typer.Option(
            help="File with what signs: whsk_… or whsec_… keys, or the Airflow connection as JSON; - for standard "
            f"input. Else the variable {VARIABLE}; else it is asked for.",
            metavar="PATH",
        ),
    ] = None,
    ca_bundle: Annotated[
        str | None, typer.Option(help="PEM file with the only CAs to trust; by default the system's.", metavar="PATH")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for all of it.", min=0.1, max=60)] = 10.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; print the signed request as a curl command.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send a signed test event, and say what the notifier would make of the answer.

    Exit code 1 if it was not delivered.

    Example: ringback send https://portal.example/airflow/completions --key-file signing.key --state failed
    """
    keys = _signing_keys(key_file)
    try:
        from ringback_cli import sample_event
        from ringback_cli.captured import request_member
        from ringback_notifier._delivery import send as post
        from ringback_notifier._policy import Answer, decide
        from ringback_notifier.errors import NotifierError
        from ringback_protocol import CallbackRequestError, EventTooLargeError
    except ModuleNotFoundError as error:
        fail(f"this command needs {error.name}: pip install 'airflow-ringback[receiver]' (or [airflow])")
    sample = sample_event.Sample(
        url=url,
        state=_IN_AIRFLOW[state],  # type: ignore[arg-type]
        dag_id=dag_id,
        run_id=run_id or f"ringback_test__{secrets.token_hex(6)}",
        correlation_id=correlation_id,
        reason=reason,
        result=None if result is None else value_of(result),
        source=source,
    )
    try:
        event = sample_event.event_for(sample, now=datetime.now(timezone.utc))
        delivery = sample_event.delivery_of(event, url, keys, ca_bundle=ca_bundle)
        if dry_run:
            headers = sample_event.signed_headers(delivery)
            curl = sample_event.curl_command(delivery, headers)
            if as_json:  # `ringback verify` reads it
                request = request_member(headers, delivery.body)
                print_json({"event_id": event.id, "url": url, "request": request, "curl": curl})
            else:
                print(curl)
            return
        outcome = post(delivery, timeout=timeout)
    except CallbackRequestError as error:
        hint = "URL" if error.key == "callback.url" else "--correlation-id"
        raise typer.BadParameter(error.problem, param_hint=hint) from None
    except (NotifierError, EventTooLargeError) as error:
        fail(str(error))
    word, sentence = sample_event.what_next(outcome, decide(outcome))
    if as_json:
        status = outcome.status if isinstance(outcome, Answer) else None
        print_json(
            {
                "event_id": event.id,
                "status": status,
                "answer": outcome.excerpt if isinstance(outcome, Answer) else None,
                "error": None if isinstance(outcome, Answer) else outcome.error,
                "notifier": word,
                "said": sentence,
            }
        )
    else:
        print_line(f"sent {event.type} {event.subject} as {event.id}")
        print_line(sample_event.outcome_said(outcome))
        print_line(f"the notifier: {sentence}")
    if word != "delivered":
        raise typer.Exit(ExitCode.NOT_DONE)


def _signing_keys(key_file: str | None) -> Sequence[SigningKey]:
    text = os.environ.get(VARIABLE, "") if key_file is None else read_text(key_file, "--key-file")
    if not text.strip():
        if key_file is not None or not sys.stdin.isatty():
            raise typer.BadParameter(
                f"give a signing key in a file, or in {VARIABLE}; `ringback keys new` makes one",
                param_hint="--key-file",
            )
        text = typer.prompt("Signing key", hide_input=True, err=True)
    with wrong_input_shown():
        return parse_present_keys(text, "ringback_default").keys
