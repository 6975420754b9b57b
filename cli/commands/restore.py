"""`ledger restore`: a backup into an empty cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import connection, output
from cli.archiving.restore import Restored
from cli.archiving.restore import restore as run_of
from cli.archiving.stages import Stages
from cli.archiving.trouble import on_files
from cli.commands.backup import BackupFolder
from cli.commands.init import COPIES_MAX
from cli.importing.progress import on_stderr
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run
from cli.trouble import Missing


def restore(
    folder: BackupFolder,
    *,
    data: Data = DEFAULT,
    copies: Annotated[
        int,
        typer.Option(
            "--copies",
            min=1,
            max=COPIES_MAX,
            help="On how many brokers each record lies, as with `ledger init`.",
        ),
    ] = 3,
    as_json: Json = False,
) -> None:
    """Restore a backup into a Kafka without this ledger's topics.

    Every record gets its place and its time again, and is read back. Until all are there no
    process opens the ledger. Run again after an interruption it goes on; what is not of this
    backup it never touches. Example: `ledger restore /mnt/backups/ledger --copies 1`.
    """
    try:
        settings = connection.settings(data)
    except Missing as error:
        raise Missing(
            f"{error}; `ledger up --restore FOLDER` begins a local one with a backup"
        ) from None
    with on_files(folder):
        done = run(run_of(settings, folder, copies, Stages(on_stderr())))
    if as_json:
        output.print_json(
            {
                "ledger": done.ledger,
                "partitions": settings.partitions,
                "madeAt": done.made_at,
                "records": done.records,
                "written": done.written,
                "changed": done.changed,
            }
        )
        return
    _print(done)


def _print(done: Restored) -> None:
    console = output.console()
    console.print(
        f"ledger {done.ledger}, as it was at {done.made_at}: {done.records:,} records are there, "
        f"{done.written:,} were written now",
        markup=False,
    )
    if not done.changed:
        console.print("It was all there already, and the ledger may run: nothing was changed.")
        return
    console.print(
        "Next: `ledger init` says that it is whole; empty the replicas, start projectors, then the "
        "API; `ledger forget` again whoever was forgotten after the backup was made"
    )
