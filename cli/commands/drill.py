"""`ledger drill`: outages made on purpose, beside what failed in them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import output, trouble
from cli.options import Json

app: Final = typer.Typer(no_args_is_help=True)


@app.callback()
def drill() -> None:
    """Outages made on purpose, on this machine and on made-up licenses."""


@app.command("fifth-of-november")
def fifth_of_november(
    *,
    report: Annotated[
        Path,
        typer.Option(
            "--report",
            metavar="FOLDER",
            help="Where the report is written (default: ./drill-report).",
            show_default=False,
        ),
    ] = Path("drill-report"),
    as_json: Json = False,
) -> None:
    """Do to a database what was done on 5 November 2019, beside a ledger, and see who notices.

    A naive license service on a real Postgres and a ledger of its own get the same launches and
    activations, while Postgres is reindexed, full, locked, hung and dead; then everybody comes
    back at once. It takes two minutes, touches nothing that isn't its own, and cleans up.
    Exit code 0: the naive service failed as the vendor's did, and the ledger failed nothing; 1: one
    of the two isn't so; 2: Postgres isn't there.
    """
    import msgspec

    from cli.drill.report import summary_lines, write
    from cli.drill.run import drill as run
    from cli.drill.screen import Screen

    _writable(report)
    outcome = run(Screen())
    written = write(outcome, report)
    if as_json:
        output.print_json(msgspec.to_builtins(outcome))
    else:
        for line in summary_lines(outcome):
            print(line)
        output.print_facts(
            {
                "report": str(written.html),
                "for a ticket": str(written.markdown),
                "for a program": str(written.json),
            }
        )
    raise typer.Exit(trouble.OK if outcome.verdict.passed else trouble.FAILED)


def _writable(folder: Path) -> None:
    """See, before it takes two minutes, that a report can be written there. Raises `Missing`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise trouble.Missing(
            f"the report can't be written into {folder}: {error.strerror}; name another folder "
            "(--report)"
        ) from None
