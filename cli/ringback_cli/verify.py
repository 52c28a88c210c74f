"""``ringback verify``: would a receiver believe this request, and if not, why not?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringback_cli.exit_codes import ExitCode
from ringback_cli.input_files import read_bytes
from ringback_cli.moments import moment
from ringback_cli.output import AsJson, print_json, print_line
from ringback_cli.verification_keys import KeyFile, KeyTexts, verification_keys

if TYPE_CHECKING:
    from ringback_cli.captured import Captured
    from ringback_cli.event_checks import Judgement

__all__ = ["verify"]


def verify(
    path: Annotated[
        str, typer.Argument(help="File with the request as HTTP has it, or lines of `ringback listen --json`.")
    ] = "-",
    keys: KeyTexts = None,
    key_file: KeyFile = None,
    url: Annotated[
        str | None, typer.Option(help="The callback URL that it must be addressed to.", metavar="URL")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(
            help="Judge as of then: an ISO time, an age such as 2h, or Unix seconds. Lines of `listen` know their own.",
            metavar="TIME",
        ),
    ] = None,
    headers: Annotated[
        str | None, typer.Option(help="File with the headers, where they are apart.", metavar="PATH")
    ] = None,
    body: Annotated[str | None, typer.Option(help="File with the body, to go with --headers.", metavar="PATH")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a captured request, and say of each check whether it holds.

    Exit code 1 if one does not.

    Example: ringback verify request.http --key whpk_… --url https://portal.example/airflow/completions
    """
    from ringback_cli.event_checks import judge

    requests = _requests(path, headers, body)
    given = None if now is None else _as_of(now)
    trusted = verification_keys(keys, key_file)
    believed = True
    for request in requests:
        as_of = next((at for at in (given, request.received_at) if at is not None), time.time())
        judgement = judge(request.headers, request.body, keys=trusted, url=url, now=as_of)
        believed = believed and judgement.event is not None
        if as_json:
            print_json(_members(judgement))
        else:
            _print(judgement)
    if not believed:
        raise typer.Exit(ExitCode.NOT_DONE)


def _requests(path: str, headers: str | None, body: str | None) -> list[Captured]:
    from ringback_cli.captured import Captured, NotCaptured, captured_headers, parse_captured

    if (headers is None) != (body is None):
        raise typer.BadParameter("--headers and --body go together", param_hint="--headers")
    try:
        if headers is not None and body is not None:
            found = captured_headers(read_bytes(headers, "--headers"))
            return [Captured(headers=found, body=read_bytes(body, "--body"))]
        return parse_captured(read_bytes(path, "PATH", most=50_000_000))
    except NotCaptured as error:
        raise typer.BadParameter(str(error), param_hint="--headers" if headers else "PATH") from None


def _as_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        at = moment(text, now=time.time(), option="--now")
    assert at is not None
    return at


def _members(judgement: Judgement) -> dict[str, Any]:
    return {
        "verified": judgement.event is not None,
        "refusal": judgement.refusal,
        "checks": judgement.checks,
        "event": judgement.event,
    }


def _print(judgement: Judgement) -> None:
    for check in judgement.checks:
        print_line(f"{check.name:10} {check.outcome:8} {check.said}".rstrip())
    if judgement.refusal is None:
        print_line("verified")
    else:
        print_line(f"refused: {judgement.refusal.value}")
