"""Read Airflow's answers: the value of a good one, the error of a bad one."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TypeVar

import msgspec

from ringback_receiver._airflow_errors import (
    AirflowAuthError,
    AirflowError,
    AirflowProtocolError,
    AirflowRequestRejected,
    AirflowUnreachable,
)
from ringback_receiver._airflow_wire import Request, Response

__all__ = ["decode", "details", "error_of", "token_refused"]

T = TypeVar("T")

LONGEST_DETAIL = 1_000
"""Characters of one line of Airflow's explanation that an error repeats."""

WRONG_BASE = "is the base URL that of Airflow, with its path prefix?"


class _Problem(msgspec.Struct):
    detail: object = None


class _FieldProblem(msgspec.Struct):
    """One entry of FastAPI's 422 answer; its ``input`` is not read, for it may hold a secret."""

    msg: str
    loc: list[str | int] = []


class _DatabaseProblem(msgspec.Struct):
    """Airflow's answer to an error of its database (airflow/api_fastapi/common/exceptions.py)."""

    reason: str


def decode(request: Request, response: Response, kind: type[T]) -> T:
    """Decode a good answer; members that it does not know are ignored.

    :raises AirflowProtocolError: the answer is not what Airflow's API gives.
    """
    cause: Exception | None = None
    try:
        return msgspec.json.decode(response.body, type=kind)
    except msgspec.DecodeError as error:
        cause = error
    except (ValueError, RecursionError):
        pass  # a UnicodeDecodeError holds the body, and so perhaps a token: it is not chained
    raise AirflowProtocolError(
        f"{_said(request, response)}, but not as Airflow's API does: {WRONG_BASE}", status=response.status
    ) from cause


def details(response: Response) -> tuple[str, ...]:
    """Explain a refusal in lines, each naming the field where Airflow does; none if Airflow was silent."""
    try:
        detail = msgspec.json.decode(response.body, type=_Problem).detail
    except (ValueError, RecursionError):
        return ()
    if isinstance(detail, str):
        # A wrong DAG param: the first paragraph says what is wrong, the rest repeats the JSON schema.
        lines = [" ".join(detail.strip().split("\n\n")[0].split())]
    elif isinstance(detail, list):
        lines = [line for entry in detail if (line := _field_line(entry))]
    else:
        lines = [_database_line(detail)]
    # A union of models repeats its lines.
    return tuple(dict.fromkeys(line[:LONGEST_DETAIL] for line in lines if line))


def _field_line(entry: object) -> str:
    try:
        problem = msgspec.convert(entry, _FieldProblem)
    except msgspec.ValidationError:
        return ""
    place = [str(part) for part in problem.loc]
    if place[:1] in (["body"], ["query"], ["path"]) and len(place) > 1:
        place = place[1:]
    return f"{'.'.join(place)}: {problem.msg}" if place else problem.msg


def _database_line(detail: object) -> str:
    try:
        return msgspec.convert(detail, _DatabaseProblem).reason
    except msgspec.ValidationError:
        return ""


def token_refused(response: Response) -> bool:
    """Tell whether a fresh token might help.

    Airflow answers 401 to an expired token, but 403 to one signed with another key, as after a restart
    without a fixed ``[api_auth] jwt_secret`` (airflow/api_fastapi/core_api/security.py).
    """
    return response.status == 401 or (response.status == 403 and details(response) == ("Invalid JWT token",))


def error_of(
    request: Request,
    response: Response,
    *,
    not_found: type[AirflowRequestRejected] | None = None,
    names: str = "",
) -> AirflowError:
    """Make the error of an answer that is not a success.

    :param not_found: the error of a 404 that explains itself.
    :param names: what such a 404 must name. Any other 404 comes from something that is not Airflow, and must
        never pass for the word of Airflow that a run is gone.
    """
    status, lines = response.status, details(response)
    said = _said(request, response)
    text = "\n  ".join((f"{said}:", *lines)) if len(lines) > 1 else ": ".join((said, *lines))
    if status == 429 or status >= 500:
        error = AirflowUnreachable(text, reason="throttled" if status == 429 else "server_error", status=status)
        error.retry_after = _retry_after(response)
        return error
    if status in (401, 403):
        return AirflowAuthError(text, reason="unauthorized" if token_refused(response) else "forbidden", status=status)
    if status == 404 and not_found is not None and _named(names, lines):
        return not_found(text, status=status, details=lines)
    if 300 <= status < 400:
        return AirflowProtocolError(
            f"{said}; redirects are not followed: {WRONG_BASE}", reason="redirected", status=status
        )
    if status in (404, 405) or not 400 <= status < 500:
        return AirflowProtocolError(f"{text}; {WRONG_BASE}", status=status)
    return AirflowRequestRejected(text, status=status, details=lines)


def _named(name: str, lines: tuple[str, ...]) -> bool:
    whole = re.compile(rf"(?<![\w.~:+-]){re.escape(name)}(?![\w.~:+-])")
    return any(whole.search(line) for line in lines)


def _said(request: Request, response: Response) -> str:
    try:
        phrase = f" {HTTPStatus(response.status).phrase}"
    except ValueError:
        phrase = ""
    return f"{request.method} {request.path} was answered {response.status}{phrase}"


def _retry_after(response: Response) -> float | None:
    """Read a Retry-After in seconds; its other form, a date, would need the server's clock."""
    value = response.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None
