"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.local.folder import DEFAULT

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="LEDGER_DATA",
        metavar="FOLDER",
        help=f"The local ledger's data folder (default: ./{DEFAULT}).",
        show_default=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

Yes = Annotated[
    bool, typer.Option("--yes", help="Do it; without this it only says what would be done.")
]

Sure = Annotated[
    bool, typer.Option("--yes", help="Do it without a question; needed where no terminal is.")
]

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="LEDGER_URL",
        metavar="URL",
        help="The API to ask (default: the local ledger's).",
        show_default=False,
    ),
]

Account = Annotated[
    str | None,
    typer.Option(
        "--account",
        envvar="LEDGER_ACCOUNT",
        metavar="ACCOUNT",
        help="Whose: an account's id or slug (default: the one that the address stands for).",
        show_default=False,
    ),
]

Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="LEDGER_TOKEN",
        metavar="TOKEN",
        help="Who asks; better given by LEDGER_TOKEN, where no process list shows it.",
        show_default=False,
    ),
]
