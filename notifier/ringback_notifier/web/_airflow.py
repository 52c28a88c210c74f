"""What the page asks Airflow's API server: who is there, and what he may.  The one place that imports it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from airflow.configuration import conf
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from sqlalchemy import select

from ringback_notifier.web._access import Access

__all__ = ["UserDep", "access_of", "base_url", "get_user", "may_run"]

UserDep = GetUserDep

_NO_DAG = "~no~dag~"
"""An id that no DAG can have: who may touch it may touch them all, those that Airflow has forgotten, too."""


def base_url() -> str | None:
    """Return ``[api] base_url``."""
    url: str | None = conf.get("api", "base_url", fallback=None)
    return url


def access_of(user: Any) -> Access | None:
    """Return what a user may, or ``None`` if he may read no DAG runs at all.

    Reading is what Airflow asks for to list DAG runs: runs in general, and each DAG.  Editing is also what it asks for
    to clear a run or to change its state: the runs of that DAG
    (``airflow/api_fastapi/core_api/routes/public/dag_run.py``).  It is asked anew for each request.
    """
    manager = get_auth_manager()
    if not manager.is_authorized_dag(method="GET", access_entity=DagAccessEntity.RUN, user=user):
        return None
    edits = manager.is_authorized_dag(method="PUT", access_entity=DagAccessEntity.RUN, user=user)
    return Access(
        user=str(user.get_name()),
        readable=_dags(manager, "GET", user),
        editable=_with_runs(manager, "PUT", user, _dags(manager, "PUT", user)) if edits else frozenset(),
    )


def may_run(user: Any, method: str, dag_id: str) -> bool:
    """Say whether a user may do something with one DAG's runs, as Airflow asks before it shows or changes one.

    :param method: ``GET`` or ``PUT``.
    """
    return _may_all(get_auth_manager(), method, user, [_details([dag_id])[0]])


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


def _with_runs(manager: Any, method: str, user: Any, allowed: frozenset[str] | None) -> frozenset[str] | None:
    """Return those of the DAGs that a user may touch whose runs he may touch, too."""
    asked = _details(sorted(_every_dag() if allowed is None else allowed))
    found = _those(manager, method, user, asked)
    return allowed if len(found) == len(asked) else frozenset(found)


def _those(manager: Any, method: str, user: Any, asked: list[DagDetails]) -> list[str]:
    # A manager asks its server once for many.  It then says yes to all or no, and yes is what it mostly says.
    if not asked or _may_all(manager, method, user, asked):
        return [str(one.id) for one in asked]
    if len(asked) == 1:
        return []
    middle = len(asked) // 2
    return _those(manager, method, user, asked[:middle]) + _those(manager, method, user, asked[middle:])


def _may_all(manager: Any, method: str, user: Any, asked: list[DagDetails]) -> bool:
    requests = [{"method": method, "access_entity": DagAccessEntity.RUN, "details": details} for details in asked]
    return bool(manager.batch_is_authorized_dag(requests, user=user))


def _details(dag_ids: Collection[str]) -> list[DagDetails]:
    if not conf.getboolean("core", "multi_team", fallback=False):
        return [DagDetails(id=dag_id) for dag_id in dag_ids]
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dag_ids))
    return [DagDetails(id=dag_id, team_name=teams.get(dag_id)) for dag_id in dag_ids]


def _every_dag() -> set[str]:
    with create_session() as session:
        return set(session.scalars(select(DagModel.dag_id)))
