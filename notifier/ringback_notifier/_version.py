"""The version of this distribution, in one place."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["VERSION"]

VERSION = version("airflow-ringback")
