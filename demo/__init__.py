"""See it happen: a real Airflow, a real receiver, one command (``make demo``)."""
