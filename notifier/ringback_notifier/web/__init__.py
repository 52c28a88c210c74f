"""The page "Callbacks" in Airflow's UI: every delivery, why it failed, and sending it again.

Only the API server ever loads more of it than :mod:`ringback_notifier.web._entry`, and at the first request.
"""

from __future__ import annotations

__all__: list[str] = []
