"""What the Airflow client's pure core and its drivers say to each other.

An operation is a generator. It yields commands, and the driver sends back what came of them: a
:class:`Response` for a :class:`Request` or a :class:`Follow`, nothing for a :class:`Sleep`, the callable's value
for an :class:`Ask`, the inner operation's result for an :class:`Exclusive`. An error of a command is thrown into
the generator at the place that asked. What the operation returns is its result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from ringback_receiver._airflow_errors import AirflowUsageError

__all__ = ["Ask", "Command", "Exclusive", "Follow", "Operation", "Request", "Response", "Secret", "Sleep", "path"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Secret:
    """A password or token that no repr shows."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; ``path`` is quoted and begins with a slash, ``token`` is the bearer token to send."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = field(default=None, repr=False)
    token: Secret | None = None

    @property
    def content(self) -> bytes | None:
        """The body, None for a request without one."""
        return None if self.json is None else json.dumps(self.json, allow_nan=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Follow:
    """Send a request whose good answer comes line by line, and hand out each line as it comes.

    The :class:`Response` comes when the answer ends, when enough was read, or when the time is up; its body is there
    only if the status is not 200.

    :param each: is given a line, and returns whether it was the last that is wanted; what it raises ends the answer.
    :param pause: seconds that the server lets pass between two lines.
    :param within: seconds for all of it.
    """

    request: Request
    each: Callable[[bytes], bool] = field(kw_only=True)
    pause: float = field(kw_only=True)
    within: float = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the caller's own function; an asynchronous driver awaits what it returns, if it is awaitable."""

    provider: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Run this operation while no other caller of the same client runs one like it."""

    operation: Generator[Any, Any, Any]


Command: TypeAlias = Request | Follow | Sleep | Ask | Exclusive
Operation: TypeAlias = Generator[Command, Any, T]


def path(template: str, **parts: str) -> str:
    """Fill a path template with quoted parts.

    :raises AirflowUsageError: a part is empty or a dot segment, which would address something else.
    """
    for name, part in parts.items():
        if part in ("", ".", ".."):
            raise AirflowUsageError(f"{name} must not be {part!r}", reason="bad_identifier")
    return template.format_map({name: quote(part, safe="") for name, part in parts.items()})
