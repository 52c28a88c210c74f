"""Where Airflow is and how to speak to it: the client's settings, checked once."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from ringback_receiver._airflow_errors import AirflowUsageError

__all__ = ["Verify", "base_url_of", "environment_settings", "verification"]

Verify: TypeAlias = bool | str | os.PathLike[str] | ssl.SSLContext


def base_url_of(url: str) -> str:
    """Check the base URL and take off its last slash; a path prefix stays.

    :raises AirflowUsageError: it is not an http or https URL, or holds credentials, a query or a fragment.
        The message does not repeat the URL: it might hold a password.
    """
    try:
        parts = urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except (ValueError, AttributeError):
        wrong = True
    if wrong or any(c.isspace() or not c.isprintable() for c in url):
        raise AirflowUsageError("base_url must be like https://host or https://host/prefix", reason="bad_url")
    if "@" in parts.netloc:
        raise AirflowUsageError("base_url must not hold credentials: pass username and password", reason="bad_url")
    if "?" in url or "#" in url:
        raise AirflowUsageError("base_url must have no query and no fragment", reason="bad_url")
    return url.rstrip("/")


def verification(verify: Verify) -> ssl.SSLContext | bool:
    """Turn a CA file or directory into what httpx takes.

    :raises AirflowUsageError: verification is switched off, or the CA cannot be read.
    """
    if verify is True or isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, bool):
        raise AirflowUsageError("verify=False is not offered: pass the CA that signed Airflow's certificate")
    place = Path(verify)
    try:
        if place.is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError as error:
        raise AirflowUsageError(f"cannot read the CA certificates in {str(place)!r}: {error}") from error


def environment_settings(prefix: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read URL and credentials from environment variables; an empty one counts as missing.

    :raises AirflowUsageError: a variable is missing or one too many is set; the message names it.
    """
    environ = os.environ if environ is None else environ
    found = {
        name.lower(): environ[prefix + name]
        for name in ("URL", "USERNAME", "PASSWORD", "TOKEN")
        if environ.get(prefix + name)
    }
    if "url" not in found:
        raise AirflowUsageError(f"{prefix}URL is not set", reason="bad_url")
    if "token" in found:
        extra = [f"{prefix}{name.upper()}" for name in ("username", "password") if name in found]
        if extra:
            raise AirflowUsageError(
                f"{prefix}TOKEN and {' and '.join(extra)} are set: keep one", reason="bad_credentials"
            )
    else:
        missing = [f"{prefix}{name.upper()}" for name in ("username", "password") if name not in found]
        if missing:
            either = f", nor is {prefix}TOKEN" if len(missing) == 2 else ""
            raise AirflowUsageError(f"{' and '.join(missing)} not set{either}", reason="bad_credentials")
    settings = dict(found)
    settings["base_url"] = settings.pop("url")
    return settings
