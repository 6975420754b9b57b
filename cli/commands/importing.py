"""`ledger import …`: the history of another license server, or our own form of activity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from msgspec.structs import asdict
from rich.table import Table

from cli import connection, output
from cli.commands.import_csv import import_csv
from cli.importing.files import FileResult, import_files
from cli.importing.progress import on_stderr
from cli.importing.scan import Form, ImportRefusedError
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run
from ledger.domain.terms import SEATS_MAX
from ledger.sources import activity_csv, flexlm

BROKEN_SHOWN: Final = 10

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Import what another license server did, or a vendor's own licenses and machines (csv).

    Of what a server did, a feature becomes a license, each checkout at a time a machine, a denial
    an event of its own.
    Importing a file again, after an interruption or when it has grown, goes on where it was.
    """,
)

Files = Annotated[
    list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, show_default=False)
]
Seats = Annotated[
    list[str] | None,
    typer.Option(
        "--seats",
        metavar="FEATURE=N",
        help="Seats of a feature (repeatable); else the most that the file shows at once.",
    ),
]


@app.command("flexlm")
def import_flexlm(
    log: Files,
    *,
    timezone: Annotated[
        str, typer.Option("--timezone", help="Where the server's clock stood: Europe/Madrid.")
    ] = "UTC",
    seats: Seats = None,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Import FlexLM debug logs.

    Example: `ledger import flexlm matlab.log --timezone Europe/Madrid --seats MATLAB=300`.
    """
    zone = _zone(timezone)
    form = Form(name=flexlm.FORM, parser=lambda: flexlm.FlexlmParser(zone))
    _run(_Order(paths=log, form=form, seats=_seats(seats or [])), data, as_json=as_json)


@app.command("activity")
def import_activity(
    csv: Files, *, seats: Seats = None, data: Data = DEFAULT, as_json: Json = False
) -> None:
    """Import CSV files of the form time,feature,action,user,host,seats.

    Example: `ledger import activity examples/activity.csv`.
    """
    form = Form(name=activity_csv.FORM, parser=activity_csv.CsvParser)
    _run(_Order(paths=csv, form=form, seats=_seats(seats or [])), data, as_json=as_json)


app.command("csv")(import_csv)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    paths: Sequence[Path]
    form: Form
    seats: Mapping[str, int]


def _run(order: _Order, data: Path, *, as_json: bool) -> None:
    settings = connection.settings(data)
    work = import_files(settings, order.paths, order.form, order.seats, on_stderr())
    results = run(work)
    if as_json:
        output.print_json([_document(result) for result in results])
        return
    for result in results:
        _print(result)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ImportRefusedError(
            f"--timezone {name}: no time zone of that name is known here; names are like "
            "Europe/Madrid"
        ) from None


def _seats(options: Sequence[str]) -> dict[str, int]:
    found = {}
    for option in options:
        feature, _, number = option.rpartition("=")
        is_number = number.isascii() and number.isdigit() and len(number) <= len(str(SEATS_MAX))
        if not feature or not is_number or not 1 <= int(number) <= SEATS_MAX:
            raise ImportRefusedError(
                f"--seats {option}: it is FEATURE=N, N from 1 to {SEATS_MAX}, like MATLAB=300"
            )
        found[feature] = int(number)
    return found


def _document(result: FileResult) -> dict[str, Any]:
    found = result.found
    return {
        "file": str(found.path),
        "source": found.source,
        "lines": found.lines,
        "brokenLines": found.broken_lines,
        "broken": [asdict(one) for one in found.broken],
        "unsupported": found.unsupported,
        "returnsWithoutCheckout": found.unmatched,
        "leftOut": result.left_out,
        "features": [asdict(feature) for feature in result.features],
    }


def _print(result: FileResult) -> None:
    console, found = output.console(), result.found
    table = Table(box=None, pad_edge=False, title=str(found.path), title_justify="left")
    table.add_column("feature")
    for name in ("seats", "checkouts", "refused", "denied", "peak", "left"):
        table.add_column(name, justify="right")
    for one in result.features:
        counts = (one.seats, one.checkouts, one.refused, one.denied, one.peak, one.left)
        table.add_row(output.plain(one.feature), *map(str, counts))
    console.print(table)
    checkouts = sum(one.checkouts for one in result.features)
    console.print(
        f"{len(result.features)} features, {checkouts} checkouts in {found.lines} lines; "
        f"{found.unsupported} questions for what the server never had, "
        f"{found.unmatched} returns without a checkout, {found.broken_lines} broken lines"
    )
    for feature, denied in result.left_out.items():
        console.print(
            f"  left out: {feature}, never checked out and denied {denied} times; with "
            f"--seats {feature}=N it has a license",
            markup=False,
        )
    for broken in found.broken[:BROKEN_SHOWN]:
        console.print(f"  line {broken.line}: {broken.reason}", markup=False)
    if found.broken_lines > BROKEN_SHOWN:
        console.print(f"  … {found.broken_lines - BROKEN_SHOWN} more (--json has up to 1,000)")
