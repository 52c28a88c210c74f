"""Whether a receiver can be reached, without an event that it could believe."""

from __future__ import annotations

import json
from collections.abc import Iterator

from ringback_cli.diagnosis.finding import Finding, fine, problem, warning

__all__ = ["receiver"]

_SECONDS = 8.0
_LARGEST = 10_000
_MISSING = "missing_header"


def receiver(url: str, ca_bundle: str | None) -> Iterator[Finding]:
    """Post what nobody has signed: a receiver of ours refuses it and says why.

    :param ca_bundle: path of a PEM file with the only CAs to trust, or ``None``.
    """
    import httpx

    from ringback_notifier._allow import redacted
    from ringback_protocol import CallbackUrlError, parse_callback_url
    from ringback_receiver import AirflowUsageError
    from ringback_receiver._airflow_settings import verification

    subject = f"receiver {redacted(url)}"
    try:
        parse_callback_url(url)
        with (
            httpx.Client(
                verify=verification(ca_bundle or True), timeout=_SECONDS, trust_env=False, follow_redirects=False
            ) as http,
            http.stream("POST", url, json={}) as answer,
        ):
            body = b""
            for chunk in answer.iter_raw():
                body += chunk
                if len(body) > _LARGEST:
                    break
            yield _judged(subject, answer.status_code, body)
    except CallbackUrlError as error:
        yield problem(subject, f"the URL {error.problem}")
    except AirflowUsageError as error:
        yield problem(subject, str(error))
    except httpx.HTTPError as error:
        yield problem(
            subject,
            f"cannot be reached: {str(error) or type(error).__name__}",
            "see whether it runs, and whether a firewall, DNS or its certificate is in the way",
        )


def _judged(subject: str, status: int, body: bytes) -> Finding:
    try:
        said = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        said = None
    if status == 400 and said == _MISSING:
        return fine(subject, "a Ringback receiver answers, and refuses what is not signed")
    if 200 <= status < 300:
        return problem(subject, f"it takes an event that nobody signed ({status})", "verify signatures there")
    if 300 <= status < 400:
        return problem(subject, f"it redirects ({status}), and redirects are never followed", "use the final URL")
    if status in (404, 405):
        return problem(
            subject,
            f"nobody takes events at this path ({status})",
            "compare it with callback_url=, and with the path that a proxy in front rewrites",
        )
    if status >= 500:
        return problem(subject, f"it answers {status}", "look at its log, and at the log of a proxy in front")
    return warning(
        subject,
        f"it answers {status}, but not as a Ringback receiver does",
        "see whether a proxy in front asks for something, such as a header or a certificate",
    )
