"""What a viewer is told of an outbox that cannot be used.  Where it is, and what its driver says, is for the log."""

from __future__ import annotations

from ringback_notifier.errors import NotifierError, OutboxUnavailable
from ringback_notifier.outbox._migrate import NotMigrated
from ringback_notifier.web._source import NoOutbox

__all__ = ["in_words"]

_WORDS: dict[type[NotifierError], str] = {
    NoOutbox: "there is no outbox yet",
    NotMigrated: "the outbox's tables are missing or of an older release; run `ringback outbox migrate`",
    OutboxUnavailable: "the outbox does not answer just now; the API server's log says why",
    NotifierError: "the outbox cannot be used as it is; the API server's log says why, and so does `ringback doctor`",
}


def in_words(error: NotifierError) -> str:
    """Return a sentence without the outbox's user, host, database or file."""
    return next(words for kind, words in _WORDS.items() if isinstance(error, kind))
