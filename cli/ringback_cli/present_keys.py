"""Reading the signing keys that a destination has now: from standard input or a prompt, never from the command line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import typer

from ringback_cli.problems import fail
from ringback_protocol import KeyFormatError, SigningKey, parse_signing_keys

__all__ = ["PresentKeys", "WrongInput", "parse_present_keys", "read_present_keys", "wrong_input_shown"]

_LARGEST = 1_000_000
_CONNECTION_ID = re.compile(r"[\w.-]{1,200}", re.ASCII)  # what Airflow takes; anything else is not repeated
_MEMBERS = ("conn_type", "description", "login", "password", "host", "port", "schema", "extra")
"""What `airflow connections import` takes: of `get`, the rest is in its way, or holds the keys once more."""
_FORMS = (
    "give the connection's password (whsk_… or whsec_… keys with spaces between them), the connection as JSON, or "
    "what `airflow connections export` writes"
)


class WrongInput(Exception):
    """What came in holds no keys; the message repeats nothing of it."""


@dataclass(frozen=True, kw_only=True)
class PresentKeys:
    """What a destination signs with now.

    :param keys: newest first.
    :param connection: the Airflow connection, if it was given, with what an import takes of it.
    """

    keys: tuple[SigningKey, ...]
    connection: Mapping[str, Any] | None = None


def read_present_keys(conn_id: str) -> PresentKeys:
    """Read standard input, or ask without echo if that is a terminal.

    :raises WrongInput: saying what would be right.
    """
    if sys.stdin.isatty():
        text = typer.prompt(f"Password of the connection {conn_id}, as it is now", hide_input=True, err=True)
    else:
        text = sys.stdin.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise WrongInput(f"that is too much; {_FORMS}")
    return parse_present_keys(text, conn_id)


def parse_present_keys(text: str, conn_id: str) -> PresentKeys:
    """Read keys from a password, a connection as JSON, or an export of connections.

    :param conn_id: which connection is meant, if there are several.
    :raises WrongInput: saying what would be right.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return _of_password(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise WrongInput(f"this is no JSON; {_FORMS}") from None
    connection = _connection_in(value, conn_id)
    return replace(_of_password(connection["password"]), connection=_importable(connection))


def _connection_in(value: Any, conn_id: str) -> dict[str, Any]:
    if isinstance(value, list) and len(value) == 1:  # `airflow connections get -o json`
        value = value[0]
    if isinstance(value, dict) and "password" not in value and "conn_type" not in value:  # an export
        if conn_id not in value:
            raise WrongInput(f"there is no connection {conn_id} in it; name another with --destination")
        value = value[conn_id]
    if not isinstance(value, dict) or not isinstance(value.get("password"), str):
        raise WrongInput(f"this is no connection with a password; {_FORMS}")
    if value.get("conn_type") != "ringback":
        raise WrongInput("the connection's conn_type is not 'ringback'")
    if value.get("conn_id", conn_id) != conn_id:
        found = str(value["conn_id"])
        shown = found if _CONNECTION_ID.fullmatch(found) else "of another name"
        raise WrongInput(f"this is connection {shown}, but {conn_id} is meant: say which with --destination")
    return value


def _importable(connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `airflow connections import` takes; `airflow connections get` calls the extra `extra_dejson`."""
    kept = {member: connection[member] for member in _MEMBERS if member in connection}
    if "extra_dejson" in connection:
        kept.setdefault("extra", connection["extra_dejson"])
    if isinstance(port := kept.get("port"), str):  # `get` makes it a text
        kept["port"] = int(port) if port.isdecimal() else None
    return kept


def _of_password(password: str) -> PresentKeys:
    try:
        return PresentKeys(keys=parse_signing_keys(password))
    except KeyFormatError as error:
        raise WrongInput(f"{error}; {_FORMS}") from None


@contextmanager
def wrong_input_shown() -> Iterator[None]:
    """Print what is wrong with the input, with exit code 1."""
    try:
        yield
    except WrongInput as error:
        fail(str(error))
