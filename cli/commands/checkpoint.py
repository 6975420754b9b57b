"""`ledger checkpoint …`: what the log is now, signed, to be kept where the log is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from cli import connection, key_files, output, trouble
from cli.local.folder import DEFAULT, data_folder
from cli.options import Data, Json
from cli.running import run
from cli.verifying.files import PublicKeys, believed, check_writable, read
from cli.verifying.making import Made, make
from cli.verifying.showing import print_findings, shown
from ledger.checkpoints.keys import VARIABLE
from ledger.named_keys import NAME
from ledger.signing_keys import public_hex

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""Checkpoints: where every partition of the log stands, and its chain, signed in a file.

    Kept elsewhere, the file shows later whether the log was truncated, edited, replaced or
    restored to an older state: `ledger verify --checkpoint FILE`. It holds no secret.
    """,
)


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private half goes.")],
    *,
    name: Annotated[
        str, typer.Option("--name", help="What the key is to be called.")
    ] = "checkpoints",
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Make a key: the private half in a new file (0600), the public one printed.

    Who has the log's brokers should not have the private half. A key of emergency orders is no
    good for this: whoever signs checkpoints every night would have it.
    Example: `ledger checkpoint keygen checkpoints.pem`.
    """
    if not NAME.fullmatch(name):
        raise trouble.Missing("--name is 1 to 64 of A-Z, a-z, 0-9, . _ -")
    public = key_files.make(file, data_folder(data))
    if as_json:
        output.print_json({"name": name, "public": public, "file": str(file)})
        return
    print(f"{name}={public}")
    output.remark(
        f"{file} is the private half: keep it where no broker is. The line above goes into "
        f"{VARIABLE} of whoever verifies."
    )


@app.command("make")
def make_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Where it goes; an earlier checkpoint of this ledger is compared, then replaced.",
        ),
    ],
    *,
    key: Annotated[
        Path, typer.Option("--key", metavar="PEM", help="The private key that signs it.")
    ],
    begun: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="EARLIER",
            help="Read on from this checkpoint, instead of from the log's beginning.",
            show_default=False,
        ),
    ] = None,
    public_key: PublicKeys = None,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Read the log to its end, and write a signed checkpoint of every partition.

    With --from only what came since is read, and what was before is as that checkpoint says: a log
    that was edited there is found by `ledger verify`. Where the log isn't as an earlier checkpoint
    knows it, nothing is written, and the exit code is 1.
    Example: `ledger checkpoint make today.json --key checkpoints.pem --from yesterday.json`.
    """
    settings, signing = connection.settings(data), key_files.read(key)
    keys = {public_hex(signing): "this key"} | believed(public_key, connection.environment(data))
    check_writable(file)
    earlier = None if begun is None else read(begun, keys)
    replaced = [read(file, keys)] if file.expanduser().exists() and file != begun else []
    made = run(make(settings, file, signing, begun=earlier, others=replaced))
    if as_json:
        output.print_json(_document(made, file, public_hex(signing)))
    else:
        _print(made, file, public_hex(signing))
    raise typer.Exit(trouble.FAILED if made.findings else trouble.OK)


def _document(made: Made, file: Path, public: str) -> dict[str, object]:
    found = made.checkpoint
    return {
        "file": None if found is None else str(file),
        "ledger": None if found is None else found.ledger,
        "made": None if found is None else found.made_at,
        "key": public,
        "records": None if found is None else found.records,
        "recordsRead": made.records_read,
        "findings": shown(made.findings),
    }


def _print(made: Made, file: Path, public: str) -> None:
    found = made.checkpoint
    if found is None:
        print_findings(made.findings)
        output.remark("Nothing was written.")
        return
    output.print_facts(
        {
            "checkpoint": str(file),
            "ledger": found.ledger,
            "made": found.made_at,
            "records": f"{found.records}, {made.records_read} of them read now",
            "signed by": public,
        }
    )
    output.remark(
        "It holds no secret. Keep it where whoever can change the log can't change it, and verify "
        f"by it: ledger verify --checkpoint {file}"
    )
