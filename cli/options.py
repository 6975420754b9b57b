"""Options that several commands share, and how a command gets some that it doesn't name itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

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

REQUIRED: Final = inspect.Parameter.empty
"""In place of an option's default: it has to be given."""


def with_options(
    command: Callable[..., None],
    options: Mapping[str, tuple[object, object]],
    make: Callable[[dict[str, Any]], object],
) -> Callable[..., None]:
    """Return a command as typer sees it: its own parameters but for the first, and `options`.

    `options`: annotation and default by name. `make` takes its options out of what was given and
    makes the command's first argument of them.
    """
    hints = get_type_hints(command, include_extras=True)
    _, *own = inspect.signature(command).parameters.values()
    parameters = [one.replace(annotation=hints[one.name]) for one in own]
    parameters += [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in options.items()
    ]

    @wraps(command)
    def optioned(*arguments: Any, **given: Any) -> None:  # noqa: ANN401 - as typer calls it
        first = make(given)
        command(first, *arguments, **given)

    optioned.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    optioned.__annotations__ = {one.name: one.annotation for one in parameters}
    return optioned
