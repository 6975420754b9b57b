"""`ledger verify`: whether the log is what it was, and the replicas what the log says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import connection, output, trouble
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run
from cli.verifying.documents import (
    OfPair,
    OfReplica,
    beside_each_other,
    beside_the_log,
    letters_of,
)
from cli.verifying.files import Kept, PublicKeys, believed, read
from cli.verifying.showing import print_findings, shown
from cli.verifying.showing_documents import (
    are_equal,
    pair_documents,
    print_pairs,
    print_replicas,
    replica_documents,
)
from cli.verifying.verifying import Verified
from cli.verifying.verifying import verify as compare
from ledger.settings import Settings


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
    documents: Annotated[
        list[str] | None,
        typer.Option(
            "--documents",
            metavar="REPLICA",
            help="Compare all that this replica (A, B, …) holds with a fresh fold of the log, "
            "while it serves; again for each.",
            show_default=False,
        ),
    ] = None,
    between: Annotated[
        bool,
        typer.Option(
            "--between",
            help="Compare the replicas with each other by the digests that they keep, while they "
            "serve.",
        ),
    ] = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Read the log, and compare it with signed checkpoints of it, and the replicas with it.

    Says of each partition whether it was truncated, edited, replaced or restored to an older state,
    and which replica has folded another log. A log that has grown since is as it was. `--documents`
    names the licenses that a replica holds otherwise than the log says, with both states. Exit code
    0: all is equal; 1: something differs, or a signature is bad; 2: a checkpoint can't be used, or
    is of another ledger.
    Example: `ledger verify --checkpoint monday.json --checkpoint tuesday.json`.
    """
    if not checkpoint and not replicas and not documents and not between:
        raise trouble.Missing(
            "say what is compared with the log: --checkpoint FILE (`ledger checkpoint make` makes "
            "one), --replicas, --documents REPLICA; or --between"
        )
    keys = believed(public_key, connection.environment(data))
    kept = [read(file, keys) for file in dict.fromkeys(checkpoint or ())]
    settings = connection.settings(data)
    letters = letters_of(settings, documents or ())
    verified, beside, pairs = run(
        _all(settings, kept, letters, with_replicas=replicas, between=between)
    )
    equal = not verified.findings and are_equal(beside, pairs)
    if as_json:
        more = {"documents": replica_documents(beside), "between": pair_documents(pairs)}
        output.print_json(document(verified, kept) | {"equal": equal, **more})
    else:
        if checkpoint or replicas:
            _print(verified, kept)
        print_replicas(beside)
        print_pairs(pairs)
    raise typer.Exit(trouble.OK if equal else trouble.FAILED)


async def _all(
    settings: Settings,
    kept: Sequence[Kept],
    letters: Sequence[str],
    *,
    with_replicas: bool,
    between: bool,
) -> tuple[Verified, Sequence[OfReplica], Sequence[OfPair]]:
    verified = Verified(ledger=None, records_read=0, replicas=(), findings=())
    if kept or with_replicas:
        verified = await compare(settings, kept, with_replicas=with_replicas)
    beside = await beside_the_log(settings, letters) if letters else ()
    return verified, beside, await beside_each_other(settings) if between else ()


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
