"""All SQL of the PostgreSQL store."""

from __future__ import annotations

from ringback_receiver._postgres_statement import Statement

__all__ = [
    "ADOPT_REQUEST",
    "ADOPTABLE_REQUEST",
    "CHANGE_REQUEST",
    "CLAIM_CALLS",
    "FAILING_CALLS",
    "FINISH_CALL",
    "HOLD",
    "INSERT_CALLS",
    "INSERT_REQUEST",
    "KNOWN",
    "LEAVE_PENDING",
    "MARKER",
    "MATCH_PARKED_EVENTS",
    "PARKED_EVENTS",
    "RENEW_CALLS",
    "REQUESTS_BY_ID",
    "REQUESTS_BY_RUN",
    "RETRY_CALL",
    "SETTLED_BY_ID",
    "WRITE_STEPS",
]

# In the order of PendingRequest's fields, and the body of the event that resolved it.
_REQUEST = """
r.request_id, r.dag_id, r.run_id, r.callback_url, r.created_at, r.metadata, r.state, r.event_id, r.reason,
       r.triggers, resolved.body
"""

# The truth about whether anything may have changed: which transactions are over. Any commit in the whole
# server changes it, one that was under way at the last look included.
MARKER = Statement("SELECT pg_current_snapshot()::text")

# --- requests

REQUESTS_BY_ID = Statement(f"""
SELECT {_REQUEST}
  FROM requests r LEFT JOIN events resolved ON resolved.event_id = r.event_id
 WHERE r.request_id = ANY(:ids::text[])
""")  # noqa: S608 - what is inserted is ours

SETTLED_BY_ID = Statement(f"""
SELECT {_REQUEST}
  FROM requests r LEFT JOIN events resolved ON resolved.event_id = r.event_id
 WHERE r.request_id = ANY(:ids::text[]) AND r.state <> 'pending'
""")  # noqa: S608 - what is inserted is ours

INSERT_REQUEST = Statement("""
INSERT INTO requests (request_id, dag_id, run_id, callback_url, created_at, metadata, state, triggers)
VALUES (:request_id, :dag_id, :run_id, :callback_url, :created_at, :metadata, 'pending', 1)
""")

# Whose run is asked for again. What was cancelled or has expired is over: its place is free.
ADOPTABLE_REQUEST = Statement("""
SELECT r.request_id, r.state
  FROM requests r
 WHERE r.dag_id = :dag_id AND r.run_id = :run_id AND r.callback_url = :callback_url
   AND r.state IN ('pending', 'abandoned', 'resolved')
 ORDER BY r.state = 'pending' DESC, r.created_at DESC LIMIT 1
   FOR NO KEY UPDATE
""")

ADOPT_REQUEST = Statement("""
UPDATE requests
   SET triggers = triggers + 1, reason = NULL, state = CASE state WHEN 'abandoned' THEN 'pending' ELSE state END
 WHERE request_id = :request_id
""")

CHANGE_REQUEST = Statement("""
UPDATE requests SET state = :state, reason = NULL, event_id = :event_id WHERE request_id = :request_id
""")

# Cancelling or abandoning what is no longer pending changes nothing. `triggers` is the fence: a request
# that was asked for again since is not abandoned.
LEAVE_PENDING = Statement("""
UPDATE requests SET state = :state, reason = :reason
 WHERE request_id = :request_id AND state = 'pending' AND triggers = coalesce(:triggers, triggers)
""")

# --- events, a batch at a time

# Nobody registers a request that an event which is about to be parked could be about, and the other way
# round. The locks are few, so that no batch fills the server's table of locks, and taken in their order.
HOLD = Statement("SELECT pg_advisory_xact_lock(:space, key) FROM unnest(:keys::int[]) key")

# For events without a correlation id. A run id that Airflow once rejected may be asked for again: the
# request that still waits comes first, then the newest.
REQUESTS_BY_RUN = Statement("""
SELECT (SELECT r.request_id
          FROM requests r
         WHERE r.dag_id = run.dag_id AND r.run_id = run.run_id
         ORDER BY r.state = 'pending' DESC, r.created_at DESC LIMIT 1)
  FROM unnest(:dag_ids::text[], :run_ids::text[]) WITH ORDINALITY run (dag_id, run_id, place)
 ORDER BY run.place
""")

KNOWN = Statement(f"""
SELECT seen.event_id IS NOT NULL, {_REQUEST}
  FROM unnest(:event_ids::text[], :request_ids::text[]) WITH ORDINALITY asked (event_id, request_id, place)
  LEFT JOIN events seen ON seen.event_id = asked.event_id
  LEFT JOIN requests r ON r.request_id = asked.request_id
  LEFT JOIN events resolved ON resolved.event_id = r.event_id
 ORDER BY asked.place
""")  # noqa: S608 - what is inserted is ours

# One statement is one transaction, and one round trip. A step is made only if its request is still as it
# was found. Rows are locked in the order of their keys, requests before events, so that replicas whose
# batches overlap wait for each other and never in a circle.
WRITE_STEPS = Statement("""
WITH step AS (
    SELECT *
      FROM unnest(:event_ids::text[], :request_ids::text[], :correlation_ids::text[], :dag_ids::text[],
                  :run_ids::text[], :transitions::text[], :received::float8[], :bodies::bytea[],
                  :found::text[], :states::text[], :resolving::text[])
           step (event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body,
                 found, state, resolving)
), held AS (
    SELECT r.request_id, r.state
      FROM requests r
     WHERE r.request_id = ANY(:request_ids::text[])
     ORDER BY r.request_id
       FOR NO KEY UPDATE
), valid AS (
    SELECT step.*
      FROM step LEFT JOIN held ON held.request_id = step.request_id
     WHERE step.request_id IS NULL OR held.state = step.found
     ORDER BY step.event_id
), recorded AS (
    INSERT INTO events (event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body)
    SELECT event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body FROM valid
        ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
), changed AS (
    UPDATE requests r SET state = valid.state, reason = NULL, event_id = valid.resolving
      FROM valid JOIN recorded ON recorded.event_id = valid.event_id
     WHERE r.request_id = valid.request_id AND valid.state <> valid.found
), called AS (
    INSERT INTO handler_calls (event_id, handler, due, attempts)
    SELECT turn.event_id, turn.handler, turn.due, 0
      FROM unnest(:called::text[], :handlers::text[], :due::float8[]) turn (event_id, handler, due)
      JOIN recorded ON recorded.event_id = turn.event_id
        ON CONFLICT DO NOTHING
)
SELECT event_id FROM recorded
""")

# Events that came before their request was registered, oldest first. Two halves, so that each uses its index.
PARKED_EVENTS = Statement("""
SELECT received_at, event_id, body FROM events
 WHERE transition = 'parked' AND correlation_id = :request_id
UNION ALL
SELECT received_at, event_id, body FROM events
 WHERE transition = 'parked' AND correlation_id IS NULL AND dag_id = :dag_id AND run_id = :run_id
 ORDER BY received_at, event_id
""")

MATCH_PARKED_EVENTS = Statement("""
UPDATE events SET transition = taken.transition, request_id = :request_id
  FROM unnest(:event_ids::text[], :transitions::text[]) taken (event_id, transition)
 WHERE events.event_id = taken.event_id
""")

# --- handlers' turns

INSERT_CALLS = Statement("""
INSERT INTO handler_calls (event_id, handler, due, attempts)
SELECT event_id, handler, :due, 0 FROM unnest(:event_ids::text[]) event_id, unnest(:handlers::text[]) handler
    ON CONFLICT DO NOTHING
""")

CLAIM_CALLS = Statement("""
WITH due AS (
    SELECT c.event_id, c.handler, c.due
      FROM handler_calls c
     WHERE c.done_at IS NULL AND c.due <= :now AND c.handler = ANY(:handlers::text[])
     ORDER BY c.due LIMIT :limit
       FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE handler_calls c SET due = :lease_until, attempts = c.attempts + 1
      FROM due
     WHERE c.event_id = due.event_id AND c.handler = due.handler
    RETURNING c.event_id, c.handler, c.attempts, due.due
)
SELECT c.event_id, c.handler, c.attempts, e.body, e.transition, r.request_id, r.metadata
  FROM claimed c
  JOIN events e ON e.event_id = c.event_id
  JOIN requests r ON r.request_id = e.request_id
 ORDER BY c.due
""")

# `attempts` is the fence: once somebody else has claimed the turn, ours no longer counts.
RENEW_CALLS = Statement("""
UPDATE handler_calls c SET due = :lease_until
  FROM unnest(:event_ids::text[], :handlers::text[], :attempts::int[]) ours (event_id, handler, attempts)
 WHERE c.event_id = ours.event_id AND c.handler = ours.handler AND c.attempts = ours.attempts AND c.done_at IS NULL
""")

RETRY_CALL = Statement("""
UPDATE handler_calls SET due = :due, error = :error
 WHERE event_id = :event_id AND handler = :handler AND attempts = :attempts AND done_at IS NULL
""")

# Work that is done is done, whoever holds the turn now.
FINISH_CALL = Statement("""
UPDATE handler_calls SET done_at = :at, error = NULL WHERE event_id = :event_id AND handler = :handler
""")

FAILING_CALLS = Statement("""
SELECT c.handler, c.event_id, e.request_id, c.attempts, c.due, c.error
  FROM handler_calls c JOIN events e ON e.event_id = c.event_id
 WHERE c.done_at IS NULL AND c.error IS NOT NULL
 ORDER BY c.attempts DESC, c.due LIMIT :limit
""")
