"""`ledger ballast …`: a file that takes room, so that there is some when the disk is full."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import output, trouble
from cli.filling import ballast
from cli.options import Json
from projector.capacity.wording import size as shown

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""A ballast: a file that only takes room. Where a disk is full, releasing it makes some.

    One on the disk of each broker. `ledger up` makes one by itself.
    """,
)
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder on the disk.")]


@app.command()
def make(
    folder: Folder,
    *,
    size: Annotated[str, typer.Option("--size", metavar="SIZE", help="Such as 512M or 2G.")],
    as_json: Json = False,
) -> None:
    """Take room on a folder's disk, to be given back when that is full.

    It is refused where it would leave less free than its own size.
    Example: `ledger ballast make /var/lib/kafka --size 2G`.
    """
    ballast.make(folder, ballast.bytes_of(size))
    _tell(folder, as_json=as_json)


@app.command()
def release(folder: Folder, *, as_json: Json = False) -> None:
    """Give the room back: delete the ballast. Then see to what filled the disk.

    Example: `ledger ballast release /var/lib/kafka`.
    """
    freed = ballast.release(folder)
    free = shutil.disk_usage(folder).free
    if as_json:
        output.print_json({"folder": str(folder), "released": freed, "free": free})
        return
    output.print_facts({"released": shown(freed), "free now": shown(free)})
    output.remark(
        "What filled the disk goes on: see to it now (docs/operations/capacity.md), then make the "
        "ballast again."
    )


@app.command()
def status(folder: Folder, *, as_json: Json = False) -> None:
    """Tell whether there is one; the exit code is 1 where there is none.

    Example: `ledger ballast status /var/lib/kafka`.
    """
    _tell(folder, as_json=as_json)


def _tell(folder: Path, *, as_json: bool) -> None:
    if not folder.is_dir():
        raise trouble.Missing(f"{folder} is no folder")
    size, usage = ballast.size_of(folder), shutil.disk_usage(folder)
    if as_json:
        output.print_json({"folder": str(folder), "ballast": size, "free": usage.free})
    else:
        output.print_facts(
            {
                "ballast": "none" if size is None else f"{shown(size)}, {ballast.file_in(folder)}",
                "free beside it": f"{shown(usage.free)} of {shown(usage.total)}",
            }
        )
    raise typer.Exit(trouble.FAILED if size is None else trouble.OK)
