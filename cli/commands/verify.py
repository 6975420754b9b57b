"""`ledger verify`: whether the log is what it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import connection, output, trouble
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run
from cli.verifying.files import Kept, PublicKeys, believed, read
from cli.verifying.showing import print_findings, shown
from cli.verifying.verifying import Verified
from cli.verifying.verifying import verify as compare


def verify(
    *,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            metavar="FILE",
            help="A checkpoint of the log (`ledger checkpoint make`); again for each. Several tell "
            "more closely where the log differs.",
            show_default=False,
        ),
    ] = None,
    public_key: PublicKeys = None,
    replicas: Annotated[
        bool,
        typer.Option("--replicas", help="Also compare what each replica has folded with the log."),
    ] = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Read the log, and compare it with signed checkpoints of it, and the replicas with it.

    Says of each partition whether it was truncated, edited, replaced or restored to an older state,
    and which replica has folded another log. A log that has grown since is as it was. Exit code 0:
    all is equal; 1: something differs, or a signature is bad; 2: a checkpoint can't be used, or is
    of another ledger.
    Example: `ledger verify --checkpoint monday.json --checkpoint tuesday.json`.
    """
    if not checkpoint and not replicas:
        raise trouble.Missing(
            "say what is compared with the log: --checkpoint FILE (`ledger checkpoint make` makes "
            "one), --replicas, or both"
        )
    keys = believed(public_key, connection.environment(data))
    kept = [read(file, keys) for file in dict.fromkeys(checkpoint or ())]
    verified = run(compare(connection.settings(data), kept, with_replicas=replicas))
    if as_json:
        output.print_json(document(verified, kept))
    else:
        _print(verified, kept)
    raise typer.Exit(trouble.FAILED if verified.findings else trouble.OK)


def document(verified: Verified, kept: Sequence[Kept]) -> dict[str, Any]:
    """What was found, for programs."""
    return {
        "ledger": verified.ledger,
        "equal": not verified.findings,
        "recordsRead": verified.records_read,
        "checkpoints": [
            {
                "file": one.file,
                "made": one.checkpoint.made_at,
                "signer": one.signer,
                "records": one.checkpoint.records,
            }
            for one in kept
        ],
        "replicas": [
            {"replica": one.name[-1], "records": one.records, "trouble": one.trouble}
            for one in verified.replicas
        ],
        "findings": shown(verified.findings),
    }


def _print(verified: Verified, kept: Sequence[Kept]) -> None:
    rows = [
        (one.file, one.checkpoint.made_at, one.signer, str(one.checkpoint.records)) for one in kept
    ]
    rows += [(one.name, "", "", str(one.records)) for one in verified.replicas]
    output.print_table(("compared with", "made", "signed by", "records"), rows, whole=("made",))
    if not verified.findings:
        print(f"All is equal: {verified.records_read} records of ledger {verified.ledger}.")
    print_findings(verified.findings)
