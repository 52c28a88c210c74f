"""Who may what on the page's Airflow, and the windows that they look at the page in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

__all__ = ["DAGS", "HERE", "ORDER", "PREFIX", "SECRET", "URL", "Browser", "Manager", "Put", "Sign"]

PREFIX = "/ringback/callbacks"
HERE = "https://airflow.example"
SECRET = "s3cret-token"
URL = f"https://caller:{SECRET}@portal.example/airflow/completions?token={SECRET}#{SECRET}"
DAGS = ("sales_report", "legacy_job", "long_job")
ORDER = {"origin": HERE, "content-type": "application/json"}


class Person:
    """A user, as far as the page looks at one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_name(self) -> str:
        return self.name


class Manager:
    """An auth manager: who may read and edit which DAGs; ``*``: all there are, and all there will be.

    Of some it has rules for runs as well, as one may write them for each DAG in a manager that knows both.
    """

    def __init__(self) -> None:
        self.may: dict[str, dict[str, set[str]]] = {
            "admin": {"GET": {"*"}, "PUT": {"*"}},
            "viewer": {"GET": {"*"}, "PUT": set()},
            "owner": {"GET": {"sales_report", "legacy_job"}, "PUT": {"sales_report"}},
            "stranger": {"GET": set(), "PUT": set()},
            "everyone_by_name": {"GET": set(DAGS), "PUT": set(DAGS)},
            "all_but_one": {"GET": {"*", "!long_job"}, "PUT": {"*", "!long_job"}},
        }
        self.no_runs = {"stranger"}
        self.runs: dict[str, dict[str, set[str]]] = {}

    async def get_user_from_token(self, token: str) -> Person:
        from jwt import InvalidTokenError

        if token not in self.may:
            raise InvalidTokenError
        return Person(token)

    def is_authorized_dag(self, *, method: str, user: Person, access_entity: Any = None, details: Any = None) -> bool:
        if user.name in self.no_runs:
            return False
        allowed = self.may[user.name][method]
        if details is None or details.id is None:
            return bool(allowed)
        of_runs = self.runs.get(user.name, {}).get(method, {"*"}) if access_entity is not None else {"*"}
        return self._may(allowed, details.id) and self._may(of_runs, details.id)

    def batch_is_authorized_dag(self, requests: list[dict[str, Any]], *, user: Person) -> bool:
        return all(self.is_authorized_dag(**request, user=user) for request in requests)

    def get_authorized_dag_ids(self, *, user: Person, method: str) -> set[str]:
        return {dag_id for dag_id in DAGS if self._may(self.may[user.name][method], dag_id)}

    @staticmethod
    def _may(allowed: set[str], dag_id: str) -> bool:
        return f"!{dag_id}" not in allowed and ("*" in allowed or dag_id in allowed)


class Browser:
    """Somebody's session."""

    def __init__(self, application: Any, name: str | None) -> None:
        self._application = application
        self._headers = {"authorization": f"Bearer {name}"} if name else {}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self._application, raise_app_exceptions=False)
            headers = {**self._headers, **options.pop("headers", {})}
            async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers) as client:
                return await client.request(method, f"{PREFIX}/{path}", **options)

        return asyncio.run(send())

    def get(self, path: str, **asked: Any) -> Any:
        answer = self.ask("GET", path, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ids(self, **asked: Any) -> list[str]:
        return [row["id"] for row in self.get("api/deliveries", **asked)["rows"]]

    def order(self, **order: Any) -> httpx.Response:
        return self.ask("POST", "api/redeliver", json=order, headers=ORDER)


Put = Callable[..., str]
Sign = Callable[["str | None"], Browser]
