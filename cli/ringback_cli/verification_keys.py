"""How a command is told whose events to believe: public keys, a file, a variable, or Airflow's own word."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ringback_cli.input_files import read_text

if TYPE_CHECKING:
    from ringback_protocol.keys import VerificationKey
    from ringback_receiver._key_source import KeySource

__all__ = ["DiscoverFrom", "KeyFile", "KeyTexts", "key_source", "verification_keys"]

VARIABLE = "RINGBACK_KEYS"

KeyTexts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--key", help="A public key, whpk_…; may be repeated.", metavar="KEY"),
]
KeyFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help=f"File with whpk_… or whsec_… keys, or - for standard input; else the variable {VARIABLE}.",
        metavar="PATH",
    ),
]
DiscoverFrom: TypeAlias = Annotated[
    str | None,
    typer.Option("--discover", help="Address of the Airflow whose published keys are to be trusted.", metavar="URL"),
]


def verification_keys(keys: Sequence[str] | None, key_file: str | None) -> tuple[VerificationKey, ...]:
    """Return the keys that were given.

    :raises typer.BadParameter: there is none, or one cannot be right; the message shows nothing of it.
    """
    found = _given(keys, key_file)
    if not found:
        raise typer.BadParameter(
            f"give a public key with --key, or keys with --key-file or in {VARIABLE}", param_hint="--key"
        )
    return found


def key_source(
    keys: Sequence[str] | None, key_file: str | None, discover: str | None, destination: str | None
) -> KeySource:
    """Return where keys come from: those that were given, or what Airflow publishes.

    :raises typer.BadParameter: there is neither, or both.
    :raises ReceiverError: that address cannot be right.
    """
    from ringback_receiver import Discover
    from ringback_receiver._key_source import FixedKeys

    if discover is not None:
        if keys or key_file:
            raise typer.BadParameter("give keys or --discover, not both", param_hint="--discover")
        return Discover(discover, destination)
    found = _given(keys, key_file)
    if not found:
        raise typer.BadParameter(
            f"give a public key with --key, keys with --key-file or in {VARIABLE}, or Airflow's address with "
            "--discover",
            param_hint="--key",
        )
    return FixedKeys(found)


def _given(keys: Sequence[str] | None, key_file: str | None) -> tuple[VerificationKey, ...]:
    if keys and key_file:
        raise typer.BadParameter("give --key or --key-file, not both", param_hint="--key-file")
    if any(key.startswith("whsec_") for given in keys or () for key in given.split()):
        raise typer.BadParameter(
            f"others see a shared secret on a command line: put it into {VARIABLE}, or into a file for --key-file",
            param_hint="--key",
        )
    if keys:
        return _parsed(" ".join(keys), "--key")
    if key_file is not None:
        return _parsed(read_text(key_file, "--key-file"), "--key-file")
    text = os.environ.get(VARIABLE, "")
    return _parsed(text, VARIABLE) if text.strip() else ()


def _parsed(text: str, where: str) -> tuple[VerificationKey, ...]:
    from ringback_protocol import KeyFormatError, parse_verification_keys

    try:
        return parse_verification_keys(text)
    except KeyFormatError as error:
        raise typer.BadParameter(str(error), param_hint=where) from None
