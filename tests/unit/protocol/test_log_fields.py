"""What a log line may say of an event."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringback_protocol.log_fields import LOG_FIELDS, log_fields, shown


def test_what_is_harmless_is_shown_as_it_is() -> None:
    """Ids in any script stay readable; what is not known is empty."""
    assert (shown("bericht_für_日本"), shown(None)) == ("bericht_für_日本", "")


def test_an_id_cannot_forge_a_line() -> None:
    """A line break, an escape sequence and half a surrogate pair are written out."""
    assert shown("a\nERROR all lost\x1b[0m\ud800") == r"a\nERROR all lost\x1b[0m\ud800"


def test_an_endless_id_is_cut() -> None:
    """Airflow's own ids have 250 characters at most."""
    assert shown("a" * 251) == "a" * 250 + "…"


@given(st.text())
def test_every_text_is_one_short_line(text: str) -> None:
    """No text makes a second line, or an endless one."""
    said = shown(text)
    assert said.isprintable()
    assert len(said) <= 251 * len(r"\U00000000")


def test_the_fields_are_always_the_same() -> None:
    """Whoever reads logs by machine finds the same names on both sides."""
    fields = log_fields(event_id="msg_1", dag_id="a\nb", run_id=None, destination="default", outcome="delivered")
    assert tuple(fields) == LOG_FIELDS
    assert fields["dag_id"] == r"a\nb"
