"""All SQL of the PostgreSQL store."""

from __future__ import annotations

from ringback_receiver._postgres_statement import Statement

__all__ = [
    "ADOPT_REQUEST",
    "ADOPTABLE_REQUEST",
    "BACKLOG",
    "CALLS_OF",
    "CHANGE_REQUEST",
    "CLAIM_CALLS",
    "CONFIRM_REQUEST",
    "DUE_CHECKS",
    "EVENTS_OF",
    "EXPIRE_REQUESTS",
    "FAILING_CALLS",
    "FINISH_CALL",
    "GIVE_UP_CALL",
    "HOLD",
    "HOLD_LEASE",
    "INSERT_CALLS",
    "INSERT_REQUEST",
    "KNOWN",
    "LEAVE_PENDING",
    "MARKER",
    "MATCH_PARKED_EVENTS",
    "NOTE_CHECKS",
    "OVERDUE_REQUEST",
    "PARKED_EVENTS",
    "PENDING_REQUESTS",
    "RELEASE_LEASE",
    "RENEW_CALLS",
    "REQUESTS_BY_ID",
    "REQUESTS_BY_RUN",
    "RETRY_CALL",
    "RETRY_FAILED",
    "SETTLED_BY_ID",
    "SETTLED_REQUESTS",
    "WRITE_STEPS",
]

# In the order of PendingRequest's fields.
_COLUMNS = """
r.request_id, r.dag_id, r.run_id, r.callback_url, r.created_at, r.metadata, r.state, r.event_id, r.reason,
       r.triggers, r.deadline, r.next_check, r.checks, r.confirmed
"""
# And the body of the event that resolved it.
_REQUEST = f"{_COLUMNS}, resolved.body"

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
INSERT INTO requests (request_id, dag_id, run_id, callback_url, created_at, metadata, state, triggers, deadline,
                      next_check, checks, confirmed)
VALUES (:request_id, :dag_id, :run_id, :callback_url, :created_at, :metadata, 'pending', 1, :deadline,
        :next_check, 0, false)
""")

# Whose run is asked for again. What was cancelled or has expired is over: its place is free.
ADOPTABLE_REQUEST = Statement("""
SELECT r.request_id, r.state
  FROM requests r
 WHERE r.dag_id = :dag_id AND r.run_id = :run_id AND r.callback_url = :callback_url
   AND r.state IN ('pending', 'abandoned', 'resolved')
   AND (r.state = 'resolved' OR r.deadline IS NULL OR r.deadline > :created_at)
 ORDER BY r.state = 'pending' DESC, r.created_at DESC LIMIT 1
   FOR NO KEY UPDATE
""")

ADOPT_REQUEST = Statement("""
UPDATE requests
   SET triggers = triggers + 1, checks = 0, reason = NULL,
       state = CASE state WHEN 'abandoned' THEN 'pending' ELSE state END
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
# batches overlap wait for each other and never in a circle. IS TRUE keeps a subquery one, which is hashed: as
# a join, without statistics, it would compare every step with every other.
WRITE_STEPS = Statement("""
WITH step AS (
    SELECT *
      FROM unnest(:event_ids::text[], :request_ids::text[], :correlation_ids::text[], :dag_ids::text[],
                  :run_ids::text[], :transitions::text[], :received::float8[], :bodies::bytea[],
                  :found::text[], :states::text[], :resolving::text[])
           step (event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body,
                 found, state, resolving)
), held AS (
    SELECT asked.event_id, asked.found, r.state
      FROM unnest(:event_ids::text[], :request_ids::text[], :found::text[]) asked (event_id, request_id, found)
      JOIN requests r ON r.request_id = asked.request_id
     ORDER BY r.request_id
       FOR NO KEY UPDATE OF r
), valid AS (
    SELECT *
      FROM step
     WHERE request_id IS NULL OR (event_id IN (SELECT event_id FROM held WHERE state = found)) IS TRUE
     ORDER BY event_id
), recorded AS (
    INSERT INTO events (event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body)
    SELECT event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body FROM valid
        ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
), changed AS (
    UPDATE requests r SET state = valid.state, reason = NULL, event_id = valid.resolving
      FROM valid
     WHERE r.request_id = valid.request_id AND valid.state <> valid.found
       AND (valid.event_id IN (SELECT event_id FROM recorded)) IS TRUE
), called AS (
    INSERT INTO handler_calls (event_id, handler, due, attempts, leased)
    SELECT turn.event_id, turn.handler, turn.due, 0, false
      FROM unnest(:called::text[], :handlers::text[], :due::float8[]) turn (event_id, handler, due)
     WHERE (turn.event_id IN (SELECT event_id FROM recorded)) IS TRUE
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
INSERT INTO handler_calls (event_id, handler, due, attempts, leased)
SELECT event_id, handler, :due, 0, false FROM unnest(:event_ids::text[]) event_id, unnest(:handlers::text[]) handler
    ON CONFLICT DO NOTHING
""")

CLAIM_CALLS = Statement("""
WITH due AS (
    SELECT c.event_id, c.handler, c.due
      FROM handler_calls c
     WHERE c.done_at IS NULL AND c.given_up_at IS NULL AND c.due <= :now AND c.handler = ANY(:handlers::text[])
     ORDER BY c.due LIMIT :limit
       FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE handler_calls c SET due = :lease_until, attempts = c.attempts + 1, leased = true
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
UPDATE handler_calls SET due = :due, error = :error, leased = false
 WHERE event_id = :event_id AND handler = :handler AND attempts = :attempts AND done_at IS NULL
""")

# Work that is done is done, whoever holds the turn now.
FINISH_CALL = Statement("""
UPDATE handler_calls SET done_at = :at, error = NULL, given_up_at = NULL, leased = false
 WHERE event_id = :event_id AND handler = :handler
""")

FAILING_CALLS = Statement("""
SELECT c.handler, c.event_id, e.request_id, c.attempts, c.due, c.error, c.given_up_at
  FROM handler_calls c JOIN events e ON e.event_id = c.event_id
 WHERE c.done_at IS NULL AND c.error IS NOT NULL
 ORDER BY c.attempts DESC, c.due LIMIT :limit
""")

GIVE_UP_CALL = Statement("""
UPDATE handler_calls SET given_up_at = :at, error = :error, leased = false
 WHERE event_id = :event_id AND handler = :handler AND attempts = :attempts AND done_at IS NULL
""")

# Rows are locked in the order of their keys, here and below.
RETRY_FAILED = Statement("""
WITH failed AS (
    SELECT c.event_id, c.handler
      FROM handler_calls c
     WHERE c.done_at IS NULL AND c.error IS NOT NULL AND (NOT c.leased OR c.due <= :now)
       AND c.handler = coalesce(:handler::text, c.handler) AND c.event_id = coalesce(:event_id::text, c.event_id)
       AND (:request_id::text IS NULL
            OR EXISTS (SELECT FROM events e WHERE e.event_id = c.event_id AND e.request_id = :request_id::text))
     ORDER BY c.event_id, c.handler
       FOR UPDATE
), retried AS (
    UPDATE handler_calls c SET due = :now, given_up_at = NULL
      FROM failed
     WHERE c.event_id = failed.event_id AND c.handler = failed.handler
    RETURNING 1
)
SELECT count(*) FROM retried
""")

# --- deadlines and checks

OVERDUE_REQUEST = Statement("""
SELECT r.request_id FROM requests r
 WHERE r.state = 'pending' AND r.deadline IS NOT NULL AND r.deadline <= :now
 ORDER BY r.deadline LIMIT 1
""")

# What somebody else is just changing is left to the next look.
EXPIRE_REQUESTS = Statement("""
WITH overdue AS (
    SELECT r.request_id, r.deadline
      FROM requests r
     WHERE r.state = 'pending' AND r.deadline IS NOT NULL AND r.deadline <= :now
     ORDER BY r.deadline LIMIT :limit
       FOR NO KEY UPDATE SKIP LOCKED
), expired AS (
    UPDATE requests r SET state = 'expired', reason = NULL
      FROM overdue
     WHERE r.request_id = overdue.request_id
    RETURNING r.request_id, overdue.deadline
)
SELECT request_id FROM expired ORDER BY deadline
""")

CONFIRM_REQUEST = Statement("UPDATE requests SET confirmed = true WHERE request_id = :request_id")

DUE_CHECKS = Statement(f"""
SELECT {_COLUMNS.replace("r.metadata", "'null'")}, NULL
  FROM requests r
 WHERE r.state = 'pending' AND r.next_check <= :now AND r.callback_url = :callback_url
   AND (r.deadline IS NULL OR r.deadline > :now)
 ORDER BY r.next_check LIMIT :limit
""")  # noqa: S608 - what is inserted is ours

NOTE_CHECKS = Statement("""
WITH held AS (
    SELECT r.request_id
      FROM requests r
     WHERE r.request_id = ANY(:request_ids::text[])
     ORDER BY r.request_id
       FOR NO KEY UPDATE
)
UPDATE requests r
   SET next_check = checked.next_check, checks = r.checks + 1, confirmed = r.confirmed OR checked.seen
  FROM held JOIN unnest(:request_ids::text[], :next_checks::float8[], :seen::bool[])
                 checked (request_id, next_check, seen) ON checked.request_id = held.request_id
 WHERE r.request_id = held.request_id
""")

HOLD_LEASE = Statement("""
INSERT INTO leases (name, holder, until) VALUES (:name, :holder, :until)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
 WHERE leases.holder = excluded.holder OR leases.until <= :now
RETURNING name
""")

RELEASE_LEASE = Statement("DELETE FROM leases WHERE name = :name AND holder = :holder")

# --- for whoever looks after it

# Two statements, so that each is one walk along an index: of those that wait, and of the primary key.
PENDING_REQUESTS = Statement(f"""
SELECT {_COLUMNS}, NULL FROM requests r WHERE r.state = 'pending' ORDER BY r.created_at, r.request_id LIMIT :limit
""")  # noqa: S608 - what is inserted is ours

SETTLED_REQUESTS = Statement(f"""
SELECT {_COLUMNS}, NULL FROM requests r WHERE r.state = :state ORDER BY r.request_id DESC LIMIT :limit
""")  # noqa: S608 - what is inserted is ours

# Each number is a walk along an index that holds little else, no further than :most; the order is the index's own.
BACKLOG = Statement("""
SELECT (SELECT count(*) FROM (SELECT FROM requests r WHERE r.state = 'pending' ORDER BY r.next_check LIMIT :most) a),
       (SELECT count(*) FROM (SELECT FROM requests r WHERE r.state = 'pending' AND r.next_check <= :now
                               ORDER BY r.next_check LIMIT :most) b),
       (SELECT min(c.created_at) FROM (SELECT r.created_at FROM requests r WHERE r.state = 'pending'
                                        ORDER BY r.next_check LIMIT :most) c),
       (SELECT count(*) FROM (SELECT FROM events e WHERE e.transition = 'parked'
                               ORDER BY e.correlation_id LIMIT :most) d),
       (SELECT count(*) FROM (SELECT FROM handler_calls c WHERE c.done_at IS NULL AND c.given_up_at IS NULL
                               ORDER BY c.due LIMIT :most) f),
       (SELECT count(*) FROM (SELECT FROM handler_calls c WHERE c.done_at IS NULL AND c.error IS NOT NULL
                               ORDER BY c.attempts LIMIT :most) g)
""")

EVENTS_OF = Statement("""
SELECT e.event_id, e.transition, e.received_at
  FROM events e
 WHERE e.request_id = :request_id
 ORDER BY e.received_at, e.event_id
""")

CALLS_OF = Statement("""
SELECT c.handler, c.event_id, c.attempts, c.due, c.error, c.done_at, c.given_up_at
  FROM handler_calls c JOIN events e ON e.event_id = c.event_id
 WHERE e.request_id = :request_id
 ORDER BY e.received_at, c.event_id, c.handler
""")
