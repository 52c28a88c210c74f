"""Where the receiver has its keys from: given once, or asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from ringback_protocol import parse_verification_keys
from ringback_protocol.keys import VerificationKey

__all__ = ["FixedKeys", "KeySource", "Keys", "key_source"]

T = TypeVar("T")


class KeySource(ABC):
    """Gives the keys that an event is verified with."""

    @abstractmethod
    async def open(self, destination: str, *, most_waiting: int) -> None:
        """Begin.

        :param destination: whose keys are meant, where the source was not told.
        :param most_waiting: events that may wait for keys at a time.
        """

    @abstractmethod
    async def close(self) -> None:
        """End; it may be opened again."""

    @abstractmethod
    async def verify(self, check: Callable[[Sequence[VerificationKey]], T]) -> T:
        """Return what ``check`` makes of the keys.

        :raises ringback_protocol.VerificationError: what ``check`` raises.
        :raises KeysUnavailable: there is nothing to check with yet.
        """


class FixedKeys(KeySource):
    """Keys that the receiver was made with."""

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._keys = keys

    async def open(self, destination: str, *, most_waiting: int) -> None:
        """Have them already."""

    async def close(self) -> None:
        """Keep them."""

    async def verify(self, check: Callable[[Sequence[VerificationKey]], T]) -> T:
        """Check once."""
        return check(self._keys)


Keys: TypeAlias = "str | VerificationKey | Iterable[str | VerificationKey] | KeySource"


def key_source(keys: Keys) -> KeySource:
    """Return a source of whatever was given as keys.

    :raises ringback_protocol.KeyFormatError: a key cannot be right, or there is none.
    """
    return keys if isinstance(keys, KeySource) else FixedKeys(parse_verification_keys(keys))
