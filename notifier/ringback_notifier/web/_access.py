"""Whose deliveries somebody sees, and whose he sends again.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Access"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What Airflow allows a user.

    :param user: his name, for the log.
    :param readable: the DAGs whose runs he may read; ``None``: every DAG, also one that Airflow has forgotten.
    :param editable: likewise, those whose runs he may edit.
    """

    user: str
    readable: frozenset[str] | None = field(repr=False)
    editable: frozenset[str] | None = field(repr=False)

    def reads(self, dag_id: str) -> bool:
        """Say whether he sees a DAG's deliveries."""
        return self.readable is None or dag_id in self.readable

    def edits(self, dag_id: str) -> bool:
        """Say whether he may send a DAG's events again, which he must see."""
        return self.reads(dag_id) and (self.editable is None or dag_id in self.editable)

    @property
    def both(self) -> frozenset[str] | None:
        """The DAGs that he sees and may edit; ``None``: every one."""
        if self.readable is None or self.editable is None:
            return self.editable if self.readable is None else self.readable
        return self.readable & self.editable
