"""``ringback keys new`` gives keys that work and a command that can be pasted."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from ringback_notifier._destination import parse_destination
from ringback_protocol import parse_signing_keys, parse_verification_keys, sign, verify_signature


def ringback(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ringback_cli", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("scheme", ["ed25519", "hmac"])
def test_the_two_keys_belong_together(scheme: str) -> None:
    """What one signs, the other verifies."""
    made = json.loads(ringback("keys", "new", "--scheme", scheme, "--json").stdout)
    headers = sign("msg_1", b"{}", keys=parse_signing_keys(made["signing_key"]), timestamp=1_700_000_000)
    keys = parse_verification_keys(made["verification_key"])
    assert verify_signature(headers, b"{}", keys=keys, now=1_700_000_000) == "msg_1"


def test_the_printed_command_makes_a_connection_that_works() -> None:
    """The JSON in the command line is a destination that allows what was asked for."""
    printed = ringback("keys", "new", "--destination", "portal", "--allow", "https://portal.example/cb/").stdout
    (line,) = [line.strip() for line in printed.splitlines() if line.strip().startswith("airflow connections add")]
    command = shlex.split(line)
    assert command[:5] == ["airflow", "connections", "add", "ringback_portal", "--conn-json"]
    connection = json.loads(command[5])
    destination = parse_destination(
        "portal",
        conn_type=connection["conn_type"],
        password=connection["password"],
        extra=json.dumps(connection["extra"]),
    )
    destination.check_allowed("https://portal.example/cb/1")


def test_a_destination_that_cannot_be_is_refused() -> None:
    """The option is named, and nothing is made."""
    done = ringback("keys", "new", "--destination", "a b")
    assert done.returncode == 2
    assert "--destination" in done.stderr
    assert "whsk_" not in done.stdout


def test_a_pattern_without_a_scheme_is_refused() -> None:
    """Airflow would refuse it later, and far away."""
    done = ringback("keys", "new", "--allow", "portal.example")
    assert done.returncode == 2
    assert "https://host/path/" in done.stderr


def test_no_variable_that_a_shell_cannot_set_is_suggested() -> None:
    """A shell that refuses an assignment repeats it, key and all."""
    assert "export" in ringback("keys", "new", "--destination", "my_portal").stdout
    assert "export" not in ringback("keys", "new", "--destination", "my-portal").stdout
