"""`ledger capacity`: how full all is, how fast it fills, and for how many days there is room."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from cli import connection, output, trouble
from cli.local.folder import DEFAULT, data_folder
from cli.options import Data, Json
from cli.running import run
from projector.capacity.forecast import WARN_DAYS, is_alarming


def capacity(
    *,
    days: Annotated[
        int,
        typer.Option("--days", min=1, max=3650, help="Exit with 1 where room is for fewer days."),
    ] = int(WARN_DAYS),
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Tell how full all is, how fast it fills, and when it will be full.

    The brokers' disks, the replicas' memory, this host's copy, by what came to the log in the last
    day, 7 and 30 days. The exit code is 0 where all is well, 1 where something is full within
    `--days`, or nearly full, 3 where Kafka or a replica doesn't answer.
    Examples: `ledger capacity`, `ledger capacity --days 60 --json`.
    """
    from cli.filling import showing
    from cli.filling.looking import look

    is_local = not os.environ.get("LEDGER_KAFKA")
    folder = data_folder(data).root if is_local else None
    found = run(look(connection.settings(data), folder))
    if as_json:
        output.print_json(showing.document(found, days))
    else:
        showing.print_capacity(found, days)
    if any(is_alarming(store, days) for store in found.stores):
        raise typer.Exit(trouble.FAILED)
    raise typer.Exit(trouble.UNAVAILABLE if found.away else trouble.OK)
