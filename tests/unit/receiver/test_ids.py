"""Request ids."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback_receiver._ids import new_request_id, request_id

SHAPE = re.compile(r"req_[0-7][0-9a-hjkmnp-tv-z]{25}")
milliseconds = st.integers(min_value=0, max_value=2**48 - 1)
chance = st.binary(min_size=10, max_size=10)


def test_id_is_known_in_advance() -> None:
    """Time and chance make the id, and nothing else."""
    assert request_id(0.0, bytes(10)) == "req_" + "0" * 26
    assert request_id(1_783_123_200.5, bytes(range(10))) == "req_01kwn6sjfm000g40r40m30e209"


@given(milliseconds, chance)
def test_id_has_one_shape(now: int, randomness: bytes) -> None:
    """It is four and twenty-six characters that a run id and a correlation id may hold."""
    assert SHAPE.fullmatch(request_id(now / 1000, randomness))


@given(milliseconds, milliseconds, chance, chance)
def test_ids_sort_by_time(earlier: int, later: int, one: bytes, other: bytes) -> None:
    """A later millisecond sorts later, whatever chance says."""
    earlier, later = sorted((earlier, later))
    if int(earlier / 1000 * 1000) < int(later / 1000 * 1000):
        assert request_id(earlier / 1000, one) < request_id(later / 1000, other)


@given(chance, chance)
def test_different_chance_gives_different_ids(one: bytes, other: bytes) -> None:
    """No bit of chance is lost."""
    assert (request_id(1.0, one) == request_id(1.0, other)) == (one == other)


@pytest.mark.parametrize("size", [0, 9, 11])
def test_wrong_amount_of_chance_is_refused(size: int) -> None:
    """Ten bytes it must be."""
    with pytest.raises(ValueError, match="10 random bytes"):
        request_id(0.0, bytes(size))


@pytest.mark.parametrize("now", [-1.0, 2.0**48])
def test_time_out_of_range_is_refused(now: float) -> None:
    """A time that does not fit is an error, not another time."""
    with pytest.raises(ValueError, match="48 bits"):
        request_id(now, bytes(10))


def test_new_ids_differ() -> None:
    """The shell draws its own chance."""
    assert new_request_id(1.0) != new_request_id(1.0)
