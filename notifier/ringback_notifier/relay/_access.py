"""Where Airflow's REST API is and who may read it, as an Airflow connection says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ringback_notifier.errors import NotifierError
from ringback_notifier.relay._credentials import Credentials
from ringback_notifier.relay._errors import ConnectionNotFound

__all__ = ["CONNECTION_ID", "Access", "read_access"]

CONNECTION_ID = "ringback_airflow"
"""The Airflow connection with an account that can read DAG runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """An address, an account, and whom to trust there.

    :param ca_bundle: path of a PEM file with the only CAs to trust, or ``None`` for the system's.
    """

    base_url: str
    credentials: Credentials
    ca_bundle: str | None


def read_access(connection: Any) -> Access:
    """Return what an Airflow connection says of Airflow's REST API.

    Its host is the API server's address, ``https://…``; login and password are of an account that can read DAG runs.
    A password without a login is a bearer token; with neither, the API server is asked for a token, as the simple
    auth manager gives it to everybody in its all-admins mode.  ``ca_bundle`` in the extra is the path of a PEM file.

    :raises ConnectionNotFound: if there is none.
    :raises NotifierError: saying what is missing in it.
    """
    if connection is None:
        raise ConnectionNotFound(
            f"there is no Airflow connection {CONNECTION_ID}. The relay reads DAG runs through Airflow's REST API: add "
            f"one with `airflow connections add {CONNECTION_ID} --conn-type http --conn-host https://airflow.example "
            "--conn-login NAME --conn-password …`, of an account that can read DAG runs and nothing else. If it is "
            "there: Airflow finds none either while its database is down, or where this process has another fernet_key"
        )
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise NotifierError(f"connection {CONNECTION_ID}: host is empty; it must be such as https://airflow.example")
    if "://" not in host:
        scheme = connection.schema if connection.schema in ("http", "https") else "https"
        host = f"{scheme}://{host}"
    if "@" in host:
        raise NotifierError(f"connection {CONNECTION_ID}: host must not hold credentials; they are login and password")
    if not host.startswith(("https://", "http://")):
        raise NotifierError(f"connection {CONNECTION_ID}: host must start with https:// or http://")
    if connection.port:
        parts = urlsplit(host)
        host = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    if connection.login and not connection.password:
        raise NotifierError(f"connection {CONNECTION_ID}: it has a login but no password")
    ca_bundle = _ca_bundle(connection.extra)
    if connection.login:
        account = Credentials(username=connection.login, password=connection.password)
        return Access(base_url=host, credentials=account, ca_bundle=ca_bundle)
    token = (connection.password or "").strip() or None
    if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise NotifierError(f"connection {CONNECTION_ID}: its password, without a login, is no token")
    return Access(base_url=host, credentials=Credentials(token=token), ca_bundle=ca_bundle)


def _ca_bundle(extra: str | None) -> str | None:
    try:
        settings = json.loads(extra or "{}")
    except ValueError:
        settings = None
    path = settings.get("ca_bundle") if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not isinstance(path, str | None):
        raise NotifierError(
            f'connection {CONNECTION_ID}: extra must be a JSON object; {{"ca_bundle": "/path/of.pem"}} names the only '
            "CAs to trust"
        )
    return path or None
