"""All SQL of the SQLite store."""

from __future__ import annotations

__all__ = [
    "ADOPTABLE_REQUEST",
    "BACKLOG",
    "CALLS_OF",
    "CHANGE_REQUEST",
    "CLAIM_CALL",
    "CONFIRM_REQUEST",
    "COUNT_TRIGGER",
    "DUE_CALLS",
    "DUE_CHECKS",
    "EVENTS_OF",
    "EVENTS_SEEN",
    "EXPIRE_REQUEST",
    "FAILING_CALLS",
    "FINISH_CALL",
    "GIVE_UP_CALL",
    "HOLD_LEASE",
    "INSERT_CALL",
    "INSERT_EVENT",
    "INSERT_REQUEST",
    "LEAVE_PENDING",
    "MATCH_PARKED_EVENT",
    "NOTE_CHECK",
    "OVERDUE_REQUESTS",
    "PARKED_EVENTS",
    "PENDING_REQUESTS",
    "PRAGMAS",
    "RELEASE_LEASE",
    "RENEW_CALL",
    "REQUESTS_BY_ID",
    "REQUEST_BY_RUN",
    "RETRY_CALL",
    "RETRY_FAILED",
    "REVIVE_REQUEST",
    "SETTLED_BY_ID",
    "SETTLED_REQUESTS",
]

# FULL: a commit is on the disk before it is answered for. WAL: readers and one writer do not block
# each other, and a commit is one fsync. wal_autocheckpoint: pages that change often are carried over to the file a
# quarter as often; the log beside it grows to 16 MB.
PRAGMAS = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 4000",
)

# --- requests

# A request with the body of the event that resolved it.
REQUESTS_BY_ID = """
SELECT r.request_id, r.dag_id, r.run_id, r.callback_url, r.created_at, r.metadata, r.state, r.event_id,
       r.reason, r.triggers, r.deadline, r.next_check, r.checks, r.confirmed, e.body
  FROM requests r LEFT JOIN events e ON e.event_id = r.event_id
 WHERE r.request_id IN (SELECT value FROM json_each(:ids))
"""

SETTLED_BY_ID = REQUESTS_BY_ID + "   AND r.state <> 'pending'\n"

# For events without a correlation id. A run id that Airflow once rejected may be asked for again: the
# request that still waits comes first, then the newest.
REQUEST_BY_RUN = """
SELECT r.request_id
  FROM requests r
 WHERE r.dag_id = :dag_id AND r.run_id = :run_id
 ORDER BY r.state = 'pending' DESC, r.created_at DESC LIMIT 1
"""

INSERT_REQUEST = """
INSERT INTO requests (request_id, dag_id, run_id, callback_url, created_at, metadata, state, triggers, deadline,
                      next_check, checks, confirmed)
VALUES (:request_id, :dag_id, :run_id, :callback_url, :created_at, :metadata, 'pending', 1, :deadline,
        :next_check, 0, 0)
"""

# Whose run is asked for again. What was cancelled or has expired is over: its place is free.
ADOPTABLE_REQUEST = """
SELECT r.request_id
  FROM requests r
 WHERE r.dag_id = :dag_id AND r.run_id = :run_id AND r.callback_url = :callback_url
   AND r.state IN ('pending', 'abandoned', 'resolved')
   AND (r.state = 'resolved' OR r.deadline IS NULL OR r.deadline > :created_at)
 ORDER BY r.state = 'pending' DESC, r.created_at DESC LIMIT 1
"""

# Not yet asked about since: the run may be just being made.
COUNT_TRIGGER = "UPDATE requests SET triggers = triggers + 1, checks = 0 WHERE request_id = :request_id"

REVIVE_REQUEST = """
UPDATE requests SET state = 'pending', reason = NULL WHERE request_id = :request_id AND state = 'abandoned'
"""

# What an event makes of a request.
CHANGE_REQUEST = """
UPDATE requests SET state = :state, reason = NULL, event_id = :event_id WHERE request_id = :request_id
"""

# Cancelling or abandoning what is no longer pending changes nothing. `triggers` is the fence: a request
# that was asked for again since is not abandoned.
LEAVE_PENDING = """
UPDATE requests SET state = :state, reason = :reason
 WHERE request_id = :request_id AND state = 'pending' AND triggers = coalesce(:triggers, triggers)
"""

# --- events

EVENTS_SEEN = "SELECT event_id FROM events WHERE event_id IN (SELECT value FROM json_each(:ids))"

INSERT_EVENT = """
INSERT INTO events (event_id, request_id, correlation_id, dag_id, run_id, transition, received_at, body)
VALUES (:event_id, :request_id, :correlation_id, :dag_id, :run_id, :transition, :received_at, :body)
"""

# Events that came before their request was registered, oldest first. Two halves, so that each uses its index.
PARKED_EVENTS = """
SELECT received_at, event_id, body FROM events
 WHERE transition = 'parked' AND correlation_id = :request_id
UNION ALL
SELECT received_at, event_id, body FROM events
 WHERE transition = 'parked' AND correlation_id IS NULL AND dag_id = :dag_id AND run_id = :run_id
 ORDER BY received_at, event_id
"""

MATCH_PARKED_EVENT = """
UPDATE events SET transition = :transition, request_id = :request_id WHERE event_id = :event_id
"""

# --- handlers' turns

INSERT_CALL = """
INSERT OR IGNORE INTO handler_calls (event_id, handler, due, attempts, leased)
VALUES (:event_id, :handler, :due, 0, 0)
"""

DUE_CALLS = """
SELECT c.event_id, c.handler, c.attempts + 1, e.body, e.transition, r.request_id, r.metadata
  FROM handler_calls c
  JOIN events e ON e.event_id = c.event_id
  JOIN requests r ON r.request_id = e.request_id
 WHERE c.done_at IS NULL AND c.given_up_at IS NULL AND c.due <= :now
   AND c.handler IN (SELECT value FROM json_each(:handlers))
 ORDER BY c.due LIMIT :limit
"""

CLAIM_CALL = """
UPDATE handler_calls SET due = :lease_until, attempts = :attempts, leased = 1
 WHERE event_id = :event_id AND handler = :handler
"""

# `attempts` is the fence: once somebody else has claimed the turn, ours no longer counts.
RENEW_CALL = """
UPDATE handler_calls SET due = :lease_until
 WHERE event_id = :event_id AND handler = :handler AND attempts = :attempts AND done_at IS NULL
"""

RETRY_CALL = """
UPDATE handler_calls SET due = :due, error = :error, leased = 0
 WHERE event_id = :event_id AND handler = :handler AND attempts = :attempts AND done_at IS NULL
"""

# Work that is done is done, whoever holds the turn now.
FINISH_CALL = """
UPDATE handler_calls SET done_at = :at, error = NULL, given_up_at = NULL, leased = 0
 WHERE event_id = :event_id AND handler = :handler
"""

FAILING_CALLS = """
SELECT c.handler, c.event_id, e.request_id, c.attempts, c.due, c.error, c.given_up_at
  FROM handler_calls c JOIN events e ON e.event_id = c.event_id
 WHERE c.done_at IS NULL AND c.error IS NOT NULL
 ORDER BY c.attempts DESC, c.due LIMIT :limit
"""

GIVE_UP_CALL = """
UPDATE handler_calls SET given_up_at = :at, error = :error, leased = 0
 WHERE event_id = :event_id AND handler = :handler AND attempts = :attempts AND done_at IS NULL
"""

RETRY_FAILED = """
UPDATE handler_calls SET due = :now, given_up_at = NULL
 WHERE done_at IS NULL AND error IS NOT NULL AND (leased = 0 OR due <= :now)
   AND handler = coalesce(:handler, handler) AND event_id = coalesce(:event_id, event_id)
   AND (:request_id IS NULL
        OR event_id IN (SELECT e.event_id FROM events e WHERE e.request_id = :request_id))
"""

# --- deadlines and checks

EXPIRE_REQUEST = """
UPDATE requests SET state = 'expired', reason = NULL
 WHERE request_id = :request_id AND state IN ('pending', 'abandoned')
"""

OVERDUE_REQUESTS = """
SELECT request_id FROM requests
 WHERE state = 'pending' AND deadline IS NOT NULL AND deadline <= :now
 ORDER BY deadline LIMIT :limit
"""

CONFIRM_REQUEST = "UPDATE requests SET confirmed = 1 WHERE request_id = :request_id"

_REQUEST = """
SELECT r.request_id, r.dag_id, r.run_id, r.callback_url, r.created_at, r.metadata, r.state, r.event_id,
       r.reason, r.triggers, r.deadline, r.next_check, r.checks, r.confirmed, NULL
  FROM requests r
"""

DUE_CHECKS = f"""{_REQUEST.replace("r.metadata", "'null'")}
 WHERE r.state = 'pending' AND r.next_check <= :now AND r.callback_url = :callback_url
   AND (r.deadline IS NULL OR r.deadline > :now)
 ORDER BY r.next_check LIMIT :limit
"""

NOTE_CHECK = """
UPDATE requests SET next_check = :next_check, checks = checks + 1, confirmed = max(confirmed, :exists)
 WHERE request_id = :request_id
"""

HOLD_LEASE = """
INSERT INTO leases (name, holder, until) VALUES (:name, :holder, :until)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
 WHERE leases.holder = excluded.holder OR leases.until <= :now
"""

RELEASE_LEASE = "DELETE FROM leases WHERE name = :name AND holder = :holder"

# --- for whoever looks after it

# Two statements, so that each is one walk along an index: of those that wait, and of the primary key.
PENDING_REQUESTS = f"{_REQUEST} WHERE r.state = 'pending' ORDER BY r.created_at, r.request_id LIMIT :limit"

SETTLED_REQUESTS = f"{_REQUEST} WHERE r.state = :state ORDER BY r.request_id DESC LIMIT :limit"

# Each number is a walk along an index that holds little else, no further than :most; the rowid, which an index holds
# too, tells which request is the oldest, for no request is ever deleted.
BACKLOG = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM requests INDEXED BY requests_pending
                               WHERE state = 'pending' LIMIT :most)),
       (SELECT count(*) FROM (SELECT 1 FROM requests INDEXED BY requests_pending
                               WHERE state = 'pending' AND next_check <= :now LIMIT :most)),
       (SELECT created_at FROM requests
         WHERE rowid = (SELECT min(oldest) FROM (SELECT rowid AS oldest FROM requests INDEXED BY requests_pending
                                                  WHERE state = 'pending' LIMIT :most))),
       (SELECT count(*) FROM (SELECT 1 FROM events INDEXED BY events_parked_by_correlation
                               WHERE transition = 'parked' LIMIT :most)),
       (SELECT count(*) FROM (SELECT 1 FROM handler_calls INDEXED BY handler_calls_open
                               WHERE done_at IS NULL AND given_up_at IS NULL LIMIT :most)),
       (SELECT count(*) FROM (SELECT 1 FROM handler_calls INDEXED BY handler_calls_failing
                               WHERE done_at IS NULL AND error IS NOT NULL LIMIT :most))
"""

EVENTS_OF = """
SELECT e.event_id, e.transition, e.received_at
  FROM events e
 WHERE e.request_id = :request_id
 ORDER BY e.received_at, e.event_id
"""

CALLS_OF = """
SELECT c.handler, c.event_id, c.attempts, c.due, c.error, c.done_at, c.given_up_at
  FROM handler_calls c JOIN events e ON e.event_id = c.event_id
 WHERE e.request_id = :request_id
 ORDER BY e.received_at, c.event_id, c.handler
"""
