"""``python -m ringback_cli`` is ``ringback``."""

from __future__ import annotations

from ringback_cli.main import main

main()
