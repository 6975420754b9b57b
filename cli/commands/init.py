"""`ledger init`: make a ledger's topics and its genesis."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from cli import connection, output
from cli.initializing import initialize
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run

COPIES_MAX: Final = 10


def init(
    *,
    data: Data = DEFAULT,
    copies: Annotated[
        int,
        typer.Option(
            "--copies",
            min=1,
            max=COPIES_MAX,
            help="On how many brokers each record lies. With 3 one broker may be lost, and writing "
            "goes on; with 1 each record is on that broker's disk before it is acknowledged.",
        ),
    ] = 3,
    as_json: Json = False,
) -> None:
    """Make the topics and their genesis records, once, before anyone may write.

    `ledger up` does it by itself; this is for a Kafka elsewhere, named by LEDGER_KAFKA with the
    ledger's other settings. Running it again changes nothing and says whose log it is.
    Examples: `ledger init`, `ledger init --copies 1` for a Kafka of one broker.
    """
    settings = connection.settings(data)
    ledger = run(initialize(settings, copies))
    if as_json:
        output.print_json({"ledger": ledger, "partitions": settings.partitions})
    else:
        output.console().print(
            f"ledger {ledger}: {settings.partitions} partitions, topics and genesis are there"
        )
