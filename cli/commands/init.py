"""`ledger init`: make a ledger's topics and its genesis."""

from __future__ import annotations

from cli import connection, output
from cli.initializing import initialize
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run


def init(*, data: Data = DEFAULT, as_json: Json = False) -> None:
    """Make the topics and their genesis records, once, before anyone may write.

    `ledger up` does it by itself; this is for a Kafka elsewhere, named by LEDGER_KAFKA with the
    ledger's other settings. Running it again changes nothing and says whose log it is.
    """
    settings = connection.settings(data)
    ledger = run(initialize(settings))
    if as_json:
        output.print_json({"ledger": ledger, "partitions": settings.partitions})
    else:
        output.console().print(
            f"ledger {ledger}: {settings.partitions} partitions, topics and genesis are there"
        )
