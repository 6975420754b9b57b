"""`ledger maintenance …`: a vendor's own Postgres reindexed without surprise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import output, trouble
from cli.attributes import seconds
from cli.options import Json

if TYPE_CHECKING:
    from cli.maintenance.moments import Outcome
    from cli.maintenance.target import Target
    from cli.maintenance.watching import Watch

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""Reindex your own Postgres (13 or later) without surprise.

    `plan reindex` says what it will need before anything is touched, `watch` ends it before the
    disk is full, `health` says what is due.
    """,
)
plan_app: Final = typer.Typer(
    no_args_is_help=True, help="Say what a maintenance will need, and whether that is there."
)
app.add_typer(plan_app, name="plan")

_Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="LEDGER_MAINTENANCE_DATABASE",
        metavar="URL",
        help="The Postgres; a password is better given by PGPASSFILE (default: libpq's variables).",
        show_default=False,
        show_envvar=True,
    ),
]
_DataDirectory = Annotated[
    Path | None,
    typer.Option(
        "--data-directory",
        metavar="PATH",
        help="The server's data directory as it is seen from here, e.g. below /proc/PID/root.",
        show_default=False,
    ),
]


@plan_app.command()
def reindex(
    table: Annotated[str, typer.Argument(help="A table, with its schema if need be.")],
    *,
    concurrently: Annotated[
        bool, typer.Option("--concurrently", help="Plan REINDEX TABLE CONCURRENTLY.")
    ] = False,
    database: _Database = None,
    data_directory: _DataDirectory = None,
    free: Annotated[
        str | None,
        typer.Option(
            "--free",
            metavar="SIZE",
            help="What is free, e.g. 300G, where the server's disk can't be seen from here.",
        ),
    ] = None,
    reserve: Annotated[
        str | None,
        typer.Option(
            "--reserve",
            metavar="SIZE",
            help="What must stay free whatever happens (default: a twentieth of the disk).",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a REINDEX TABLE will need, and go or no-go; nothing is written, nobody waits.

    Exit code 0 go, 1 no-go: the reasons say why, with the numbers. Units are of 1,024.
    Example: `ledger maintenance plan reindex public.machines`.
    """
    from cli.maintenance import showing
    from cli.maintenance.planning import plan_reindex

    made = plan_reindex(
        database,
        table,
        concurrently=concurrently,
        data_directory=data_directory,
        free_bytes=_size("--free", free),
        reserve_bytes=_size("--reserve", reserve),
    )
    if as_json:
        output.print_json(showing.plan_document(made))
    else:
        showing.print_plan(made)
    raise typer.Exit(trouble.OK if made.go else trouble.FAILED)


def _size(option: str, text: str | None) -> int | None:
    from cli.maintenance.figures import read_size

    if text is None:
        return None
    try:
        return read_size(text)
    except ValueError:
        raise trouble.Missing(f"{option} is a size like 300G or 512MB, not {text!r}") from None


@app.command()
def watch(  # noqa: PLR0913 - an option each
    *,
    pid: Annotated[
        int | None,
        typer.Option("--pid", min=1, help="Its session (default: the one that builds indexes)."),
    ] = None,
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="SPAN", help="Wait so long for one to begin: 10m."),
    ] = None,
    floor: Annotated[
        str | None,
        typer.Option(
            "--floor",
            metavar="SIZE",
            help="End it at so little free (default: a twentieth of the disk, 4 WAL segments).",
        ),
    ] = None,
    max_blocked: Annotated[
        str | None,
        typer.Option(
            "--max-blocked", metavar="SPAN", help="End it where somebody waits so long behind it."
        ),
    ] = None,
    no_abort: Annotated[bool, typer.Option("--no-abort", help="Only look, end nothing.")] = False,
    database: _Database = None,
    data_directory: _DataDirectory = None,
    as_json: Json = False,
) -> None:
    """Watch a REINDEX or CREATE INDEX, and end it before the disk is full.

    Exit code 0 where it came to its end, 1 where it failed or was ended from here. Ctrl-C leaves
    it running. `--json`: a line each second, the outcome last.
    Example: `ledger maintenance watch --wait 10m --max-blocked 30s`.
    """
    from cli.maintenance import showing_watch
    from cli.maintenance.moments import Limits
    from cli.maintenance.watching import Watch

    limits = Limits(
        floor_bytes=_size("--floor", floor),
        blocked_s=seconds(max_blocked, "--max-blocked"),
        abort=not no_abort,
    )
    with showing_watch.Shown(as_json=as_json) as shown:
        looking = Watch(database, limits=limits, data_directory=data_directory, tell=shown.tell)
        if looking.unseen:
            output.remark(f"the disk isn't watched: {looking.unseen}")
        try:
            found = looking.find(pid, seconds(wait, "--wait") or 0)
            outcome = _watched(looking, found)
        finally:
            looking.close()
    if as_json:
        output.print_json_line(showing_watch.outcome_document(outcome))
    else:
        showing_watch.print_outcome(outcome)
    failed = bool(outcome.aborted) or outcome.done is False
    raise typer.Exit(trouble.FAILED if failed else trouble.OK)


def _watched(looking: Watch, found: Target) -> Outcome:
    """Watch it to its end; Ctrl-C says that nobody does any longer."""
    try:
        return looking.run(found)
    except KeyboardInterrupt:
        output.remark(f"pid {found.pid} goes on; nobody watches the disk for it now")
        raise


@app.command()
def health(
    *, database: _Database = None, data_directory: _DataDirectory = None, as_json: Json = False
) -> None:
    """Say what is due in a database: wrong order, invalid indexes, wasted room; reads only.

    Exit code 0 where nothing is due, 1 where something is: each with its statements.
    Example: `ledger maintenance health --json`.
    """
    from cli.maintenance import showing_health
    from cli.maintenance.health import examine

    found = examine(database, data_directory=data_directory)
    if as_json:
        output.print_json(showing_health.health_document(found))
    else:
        showing_health.print_health(found)
    raise typer.Exit(trouble.FAILED if found.due else trouble.OK)
