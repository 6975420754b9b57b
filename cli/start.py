"""Where the `ledger` command begins: Ctrl-C ends it quietly before it knows what it is to do."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command line and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from cli.main import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
