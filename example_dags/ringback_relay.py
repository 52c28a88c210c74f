"""The relay: reports what the fast paths cannot see, and delivers what failed before.

One task that works for most of each minute.  It needs the Airflow connection ``ringback_airflow``: the API server's
address and an account that can read DAG runs.
"""

from __future__ import annotations

from ringback_notifier import relay_dag

relay_dag()
