"""A million rows for an outbox, made by its database: a few busy DAGs and many quiet ones, most of it delivered."""

from __future__ import annotations

from sqlalchemy import text

from ringback_notifier.outbox import Outbox

__all__ = ["DAGS", "NOW", "SPACING", "fill"]

NOW = 1_780_000_000.0
SPACING = 2.0
"""Seconds between two rows."""

DAGS = 500

_BODY = 1_200
_TABLE = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)",
    "postgresql": "WITH numbers AS (SELECT n FROM generate_series(1, CAST(:count AS bigint)) AS n)",
}
# Each is a number that looks random, the same in both databases.  The third power makes a few DAGs busy.
_ROWS = """
, drawn AS (SELECT n, (n * 7919) % 1000003 AS one, (n * 104729) % 1000033 AS two, (n * 15485863) % 1000037 AS three
  FROM numbers),
named AS (SELECT n, three,
    CAST(floor(499.999 * (one / 1000003.0) * (one / 1000003.0) * (one / 1000003.0)) AS int) AS dag,
    CASE WHEN n > :count - 60 THEN 'hint' WHEN two < 2000 THEN 'due' WHEN n > :count - 200 THEN 'leased'
      WHEN two < 12000 THEN 'dead' WHEN two < 15000 THEN 'gone' WHEN two < 18000 THEN 'refused' ELSE 'delivered'
    END AS status FROM drawn)
INSERT INTO ringback_event (event_id, dag_id, run_id, state, destination, url, host, status, reported_by, created_at,
  schedule_from, ended_at, due_at, attempts, looks, settled_at, body)
SELECT 'msg_' || n, 'dag_' || dag, CASE WHEN three % 10 < 6 THEN 'scheduled__' ELSE 'manual__' END || n,
  CASE WHEN three % 20 = 0 THEN 'failed' ELSE 'success' END,
  CASE WHEN status = 'hint' THEN NULL WHEN three < 900000 THEN 'default' WHEN three < 999900 THEN 'portal'
    ELSE 'seldom' END,
  CASE WHEN status <> 'hint' THEN 'https://portal.example/airflow/completions' END,
  CASE WHEN status <> 'hint' THEN 'portal.example:443' END, status, 'task',
  CAST(:now AS double precision) - :spacing * (:count - n), :now, :now, :now, 1, 0,
  CASE WHEN status NOT IN ('hint', 'due', 'leased')
    THEN CAST(:now AS double precision) - :spacing * (:count - n) + 3 END,
  CASE WHEN status <> 'hint' THEN {body} END
FROM named
"""
_BYTES = {"sqlite": "zeroblob(:body)", "postgresql": "convert_to(repeat(md5(CAST(n AS text)), :body / 32), 'UTF8')"}


def fill(outbox: Outbox, count: int) -> None:
    """Write rows, the latest created now, and have the database look at them, as its own housekeeping would."""
    with outbox._database.reading() as connection:
        kind = connection.dialect.name
        if kind == "sqlite":
            connection.execute(text("PRAGMA cache_size = -1000000"))  # or its indexes are written many times over
    statement = _TABLE[kind] + _ROWS.format(body=_BYTES[kind])
    if kind == "sqlite":
        statement = statement.replace("double precision", "real")
    with outbox._database.writing() as connection:
        connection.execute(text(statement), {"count": count, "now": NOW, "spacing": SPACING, "body": _BODY})
    if kind == "postgresql":
        with outbox._database.reading() as connection:
            connection.execute(text("VACUUM ANALYZE ringback_event"))
