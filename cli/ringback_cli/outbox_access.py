"""Opening the outbox, and telling why that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ringback_cli.problems import fail
from ringback_cli.sqlite_files import is_missing

if TYPE_CHECKING:
    from ringback_notifier.outbox import Outbox

__all__ = ["errors_shown", "opened_outbox"]


@contextmanager
def opened_outbox() -> Iterator[Outbox]:
    """Open the outbox that Airflow's configuration names, but make none: it would belong to whoever looks first."""
    from ringback_notifier import _config
    from ringback_notifier.errors import OutboxError
    from ringback_notifier.outbox import Outbox

    url = _config.outbox_url()
    if is_missing(url):
        raise OutboxError(
            f"there is no outbox {url} yet; is this the machine, and the AIRFLOW_HOME, of Airflow's components?"
        )
    outbox = Outbox.open(url, wait=10.0)
    try:
        yield outbox
    finally:
        outbox.close()


@contextmanager
def errors_shown() -> Iterator[None]:
    """Print one of our errors as a message, with exit code 1."""
    try:
        from ringback_notifier.errors import NotifierError
    except ImportError:
        fail("this command runs beside Airflow: pip install 'airflow-ringback[airflow]'")
    try:
        yield
    except NotifierError as error:
        fail(str(error))
