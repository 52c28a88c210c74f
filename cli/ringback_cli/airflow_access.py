"""How a command is told where Airflow's REST API is, and as whom to speak to it; its secrets are no arguments."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ringback_cli.input_files import read_text

if TYPE_CHECKING:
    from ringback_receiver import AsyncAirflowClient

__all__ = ["AirflowAccess", "AirflowUrl", "CaBundle", "PasswordFile", "Username", "airflow_access"]

PASSWORD, TOKEN = "RINGBACK_AIRFLOW_PASSWORD", "RINGBACK_AIRFLOW_TOKEN"

AirflowUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--airflow",
        envvar="RINGBACK_AIRFLOW_URL",
        help="Where Airflow's UI is, such as https://airflow.example.",
        metavar="URL",
    ),
]
Username: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="RINGBACK_AIRFLOW_USERNAME",
        help=f"Airflow's user. The password is in {PASSWORD}, or a token in {TOKEN}; else it is asked for.",
        metavar="NAME",
    ),
]
PasswordFile: TypeAlias = Annotated[
    str | None,
    typer.Option(help="File with the password, or - for standard input.", metavar="PATH"),
]
CaBundle: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="RINGBACK_AIRFLOW_CA_BUNDLE",
        help="PEM file with the only CAs to trust; by default the system's.",
        metavar="PATH",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class AirflowAccess:
    """An address and an account.

    :param ca_bundle: path of a PEM file, or ``None`` for the system's CAs.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None

    def client(self, *, timeout: float = 10.0) -> AsyncAirflowClient:
        """Return a client; nothing is sent yet.

        :param timeout: seconds for one request.
        :raises AirflowUsageError: something cannot be right.
        """
        from ringback_receiver import AsyncAirflowClient

        return AsyncAirflowClient(
            self.url,
            username=self.username,
            password=self.password,
            token=self.token,
            timeout=timeout,
            verify=self.ca_bundle or True,
        )


def airflow_access(
    url: str | None, username: str | None, password_file: str | None, ca_bundle: str | None
) -> AirflowAccess:
    """Put together what options and variables say, and ask for a password that is missing.

    :raises typer.BadParameter: saying what is missing.
    """
    if not url:
        raise typer.BadParameter("say where Airflow is, or set RINGBACK_AIRFLOW_URL", param_hint="--airflow")
    token = os.environ.get(TOKEN)
    if not username:
        if not token:
            raise typer.BadParameter(
                f"say as whom (or set RINGBACK_AIRFLOW_USERNAME), or put a token into {TOKEN}", param_hint="--username"
            )
        return AirflowAccess(url=url, token=token, ca_bundle=ca_bundle)
    if password_file is not None:
        password = read_text(password_file, "--password-file", most=10_000).rstrip("\r\n")
    else:
        password = os.environ.get(PASSWORD) or _asked(username)
    return AirflowAccess(url=url, username=username, password=password, ca_bundle=ca_bundle)


def _asked(username: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"set {PASSWORD}, or give --password-file", param_hint="--username")
    answer: str = typer.prompt(f"Password of Airflow's user {username}", hide_input=True, err=True)
    return answer
