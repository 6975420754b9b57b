"""`ledger import csv`: a vendor's own export of licenses and machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from msgspec.structs import asdict

from cli import connection, output, trouble
from cli.importing.progress import on_stderr
from cli.importing.scan import ImportRefusedError
from cli.importing.vendor import Loaded
from cli.importing.vendor_files import import_export
from cli.importing.vendor_scan import write_rejects
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run
from ledger.sources.vendor_csv import BadRow, Kind

BAD_SHOWN: Final = 10


def import_csv(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, show_default=False)
    ],
    *,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy", help="Id of the policy of licenses whose line names none (column policy)."
        ),
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="What the files hold (default: see the header).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every line, write nothing.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option(
            "--rejects",
            metavar="NEW-FILE",
            help="Write the bad lines there, as they stand, to be mended and imported.",
        ),
    ] = None,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Load licenses and machines of a vendor's export: CSV in UTF-8, with a header.

    Licenses: key, policy, name, max_machines, expiry, suspended, metadata.…; machines: license
    (its key), fingerprint, hostname, name, platform, seats, activated_at. Bad lines are told, the
    rest is loaded. Again, or with more lines at its end, it goes on where it was. What `activity`
    reads is another form. The exit code is 0 where every line is in the ledger, else 1.
    Example: `ledger import csv licenses.csv machines.csv --policy 0f8b… --dry-run`.
    """
    if rejects is not None and len(files) != 1:
        raise ImportRefusedError("--rejects goes with one file: import them one after the other")
    if rejects is not None and rejects.exists():
        raise ImportRefusedError(f"--rejects {rejects}: it is there already; name a new file")
    settings = connection.settings(data)
    work = import_export(settings, files, on_stderr(), kind=kind, policy=policy, dry_run=dry_run)
    results = run(work)
    if rejects is not None and results[0].table.bad_lines:
        write_rejects(results[0].table, rejects)
    if as_json:
        output.print_json([_document(result, dry_run=dry_run) for result in results])
    else:
        _print(results, dry_run=dry_run)
    bad = any(result.table.bad_lines for result in results)
    raise typer.Exit(trouble.FAILED if bad else trouble.OK)


def _document(loaded: Loaded, *, dry_run: bool) -> dict[str, Any]:
    table = loaded.table
    return {
        "file": str(table.path),
        "kind": table.kind,
        "source": table.source or None,
        "dryRun": dry_run,
        "rows": table.rows,
        "added": loaded.added,
        "before": loaded.before,
        "suspended": loaded.suspended,
        "badRows": len(table.bad_lines),
        "bad": [asdict(one) for one in _bad(loaded)],
    }


def _bad(loaded: Loaded) -> Sequence[BadRow]:
    return sorted(loaded.table.bad, key=lambda one: one.line)


def _print(results: Sequence[Loaded], *, dry_run: bool) -> None:
    columns = ("file", "kind", "rows", "to add" if dry_run else "added", "done before", "bad")
    output.print_table(
        columns,
        [
            (
                str(one.table.path),
                one.table.kind,
                str(one.table.rows),
                str(one.added),
                str(one.before),
                str(len(one.table.bad_lines)),
            )
            for one in results
        ],
    )
    console = output.console()
    for loaded in results:
        bad = _bad(loaded)
        for one in bad[:BAD_SHOWN]:
            where = "" if one.column is None else f", {one.column} {one.value or 'empty'}"
            console.print(
                output.plain(f"{loaded.table.path.name} line {one.line}{where}: {one.reason}")
            )
        left = len(loaded.table.bad_lines) - min(len(bad), BAD_SHOWN)
        if left:
            console.print(f"… {left} more (--json has up to 1,000, --rejects all)")
    if dry_run:
        console.print("Nothing was written.")
