"""What the commands of ``ringback keys`` have in common: how a destination is named, how a receiver is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Annotated, TypeAlias

import typer

__all__ = ["Destination", "Scheme", "connection_id", "receiver_line"]

Destination: TypeAlias = Annotated[
    str, typer.Option(help="The destination's name: the Airflow connection is ringback_<name>.")
]


class Scheme(str, Enum):
    """How events are signed."""

    ED25519 = "ed25519"
    HMAC = "hmac"


def connection_id(destination: str) -> str:
    """Return the id of a destination's Airflow connection.

    :raises typer.BadParameter: there can be no such destination.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", destination):
        raise typer.BadParameter("1 to 64 letters, digits, '_' or '-'", param_hint="--destination")
    return f"ringback_{destination}"


def receiver_line(keys: Sequence[str]) -> str:
    """Return what a receiver's code says; a shared secret is not repeated."""
    shown = ", ".join(f'"{key}"' if key.startswith("whpk_") else '"whsec_…"' for key in keys)
    return f"In the receiver: Receiver(…, keys=[{shown}])"
