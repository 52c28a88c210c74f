"""What the page asks Airflow's API server: who is there, and what he may.  The one place that imports it."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from airflow.configuration import conf
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import select

from ringback_notifier.web._access import Access

__all__ = ["UserDep", "access_of", "base_url", "get_user"]

UserDep = GetUserDep

_NO_DAG = "~no~dag~"
"""An id that no DAG can have: who may touch it may touch them all, those that Airflow has forgotten, too."""


def base_url() -> str | None:
    """Return ``[api] base_url``."""
    url: str | None = conf.get("api", "base_url", fallback=None)
    return url


def access_of(user: Any) -> Access | None:
    """Return what a user may, or ``None`` if he may read no DAG runs at all.

    Reading is what Airflow asks for to list DAG runs, and editing is what it asks for to clear one or to change its
    state (``airflow/api_fastapi/core_api/routes/public/dag_run.py``).  It is asked anew for each request.
    """
    manager = get_auth_manager()
    if not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, user=user):
        return None
    edits = manager.is_authorized_dag(method="PUT", access_entity=DagAccessEntity.RUN, user=user)
    return Access(
        user=str(user.get_name()),
        readable=_dags(manager, "GET", user),
        editable=_dags(manager, "PUT", user) if edits else frozenset(),
    )


def _dags(manager: Any, method: str, user: Any) -> frozenset[str] | None:
    allowed = frozenset(manager.get_authorized_dag_ids(user=user, method=method))
    # A team's members are asked for by the DAG's team, which one that is forgotten no longer has.
    if conf.getboolean("core", "multi_team", fallback=False):
        return allowed
    if not manager.is_authorized_dag(
        method=method, access_entity=DagAccessEntity.RUN, details=DagDetails(id=_NO_DAG), user=user
    ):
        return allowed
    # A manager may allow what it does not know and still forbid one DAG that it does.
    return None if allowed >= _every_dag() else allowed


def _every_dag() -> set[str]:
    with create_session() as session:
        return set(session.scalars(select(DagModel.dag_id)))
