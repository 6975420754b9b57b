"""`ledger rehearse`: what an upgrade would change of a ledger's own history, before it does."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import connection, trouble
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.rehearsing import showing
from cli.rehearsing.rehearsing import rehearse as beside_what_serves
from cli.rehearsing.rehearsing import suppose
from cli.running import run


def rehearse(
    *,
    rules: Annotated[
        int | None,
        typer.Option(
            "--rules",
            metavar="N",
            min=1,
            help="What if rules N had been active all along; to be done before they are activated.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Licenses shown; --json names all.")
    ] = 20,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Fold the whole log with this release, and name each verdict and state that would change.

    It is compared with what a replica holds, folded by the release that runs; nothing is written
    that serves, and checks and activations go on. With `--rules N` the history is compared with
    what it would be had rules N been active all along. Exit code 0: nothing changes; 1: something
    does; 2: it can't be rehearsed; 3: Kafka or all replicas are away.
    """
    settings = connection.settings(data)
    replica: str | None = None
    if rules is None:
        found, replica = run(beside_what_serves(settings))
    else:
        found = run(suppose(settings, rules))
    if as_json:
        showing.print_document(found, rules=rules, replica=replica)
    else:
        showing.print_rehearsed(found, limit)
    raise typer.Exit(trouble.OK if found.same else trouble.FAILED)
