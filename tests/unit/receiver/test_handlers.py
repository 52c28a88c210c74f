"""Handlers by name, and when they run again."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from ringback_receiver._handlers import FIRST_BACKOFF, LONGEST_BACKOFF, Handlers, backoff, delay_after, describe
from ringback_receiver.errors import ConfigurationError, GiveUp


async def one(completion: Any) -> None: ...


def another(completion: Any) -> None: ...


def test_handler_is_known_by_its_module_and_name() -> None:
    """The name survives a restart."""
    handlers = Handlers()
    handlers.add(one, dag_id=None, name=None)
    assert handlers.names == [f"{__name__}.one"]


def test_dag_has_its_handlers_and_those_of_all() -> None:
    """A handler without a DAG id hears of every DAG."""
    handlers = Handlers()
    handlers.add(one, dag_id="sales", name="one")
    handlers.add(another, dag_id=None, name="another")
    assert handlers.names_for("sales") == ["one", "another"]
    assert handlers.names_for("stock") == ["another"]


def test_one_function_may_handle_two_dags() -> None:
    """Decorators may be stacked."""
    handlers = Handlers()
    handlers.add(one, dag_id="sales", name=None)
    handlers.add(one, dag_id="stock", name=None)
    assert handlers.names_for("sales") == handlers.names_for("stock") == [f"{__name__}.one"]


class Reports:
    async def ready(self, completion: Any) -> None: ...


def test_one_bound_method_may_handle_two_dags() -> None:
    """Python makes a new object each time a method is looked up; of one instance it is the same handler."""
    handlers, reports = Handlers(), Reports()
    handlers.add(reports.ready, dag_id="sales", name=None)
    handlers.add(reports.ready, dag_id="stock", name=None)
    assert handlers.names_for("sales") == handlers.names_for("stock") == [f"{__name__}.Reports.ready"]
    with pytest.raises(ConfigurationError, match="two handlers"):
        handlers.add(Reports().ready, dag_id="stock", name=None)


def test_two_functions_of_one_name_are_refused() -> None:
    """A row in the store must mean one function."""
    handlers = Handlers()
    handlers.add(one, dag_id=None, name="same")
    with pytest.raises(ConfigurationError, match="two handlers are called 'same'"):
        handlers.add(another, dag_id=None, name="same")


def test_function_without_a_name_needs_one() -> None:
    """A partial function has no name that would survive."""
    with pytest.raises(ConfigurationError, match="name="):
        Handlers().add(functools.partial(another), dag_id=None, name=None)


@pytest.mark.parametrize(
    ("attempts", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (12, 2048.0), (13, 3600.0), (10_000, 3600.0)]
)
def test_backoff_doubles_up_to_an_hour(attempts: int, longest: float) -> None:
    """The delay grows, is bounded, and never ends."""
    assert backoff(attempts, 0.0) == longest / 2
    assert backoff(attempts, 0.999999) == pytest.approx(longest, rel=1e-5)
    assert FIRST_BACKOFF / 2 <= backoff(attempts, 0.5) <= LONGEST_BACKOFF


def test_error_is_described_within_bounds() -> None:
    """The type and the message, but not a novel."""
    assert describe(ValueError("no")) == "ValueError: no"
    assert len(describe(ValueError("x" * 5_000))) == 1_000


@pytest.mark.parametrize(
    ("options", "argument"),
    [({"timeout": 0.0}, "timeout"), ({"timeout": -1.0}, "timeout"), ({"max_attempts": 0}, "max")],
)
def test_impossible_option_is_refused(options: dict[str, Any], argument: str) -> None:
    """The message names it."""
    with pytest.raises(ConfigurationError, match=argument):
        Handlers().add(one, dag_id=None, name=None, **options)


def test_one_handler_has_one_set_of_options() -> None:
    """A row in the store does not say for which DAG it was."""
    handlers = Handlers()
    handlers.add(one, dag_id="sales", name=None, max_attempts=3)
    handlers.add(one, dag_id="stock", name=None, max_attempts=3)
    with pytest.raises(ConfigurationError, match="options"):
        handlers.add(one, dag_id="staff", name=None)


@pytest.mark.parametrize(
    ("error", "attempts", "most", "delay"),
    [
        (ValueError("no"), 1, None, 0.5),
        (ValueError("no"), 10_000, None, 1_800.0),
        (ValueError("no"), 2, 3, 1.0),
        (ValueError("no"), 3, 3, None),
        (ValueError("no"), 4, 3, None),
        (GiveUp("no"), 1, None, None),
    ],
)
def test_failed_turn_comes_again_or_is_given_up(
    error: Exception, attempts: int, most: int | None, delay: float | None
) -> None:
    """Without end, or so often, or not at all if the handler says so."""
    assert delay_after(error, attempts=attempts, max_attempts=most, chance=0.0) == delay
