"""`ledger forget`: erase what is personal or secret of a license."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli import connection, output, trouble
from cli.commands.check import key_of
from cli.forget import Forgotten
from cli.forget import forget as erase
from cli.local.folder import DEFAULT
from cli.options import Data, Json, Yes
from cli.running import run


def forget(
    license_: Annotated[
        str, typer.Argument(metavar="LICENSE", help="Its id or its key; - reads it from stdin.")
    ],
    *,
    yes: Yes = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Erase the key, fingerprints, names and addresses of a license, for good.

    Its seats, verdicts and checks stay as they are. Every reader obeys at once; Kafka itself drops
    the bytes when it has compacted (24 h at most). There is no way back.
    Example: `ledger forget LIC-… --yes`.
    """
    settings = connection.settings(data)
    named = key_of(license_)
    trouble.sure(
        "this erases the key, fingerprints, names and addresses of that license for good: "
        "nobody can read them again",
        yes=yes,
    )
    done = run(erase(settings, named))
    if not done.known:
        raise trouble.Failed(
            f"the log has no data key of the license {done.license}: is it the id or key of this "
            "ledger's? Nothing was erased"
        )
    if as_json:
        output.print_json(_document(done))
    else:
        _print(done)
    raise typer.Exit(trouble.OK if done.complete_for_readers else trouble.FAILED)


def _document(done: Forgotten) -> dict[str, Any]:
    return {
        "license": done.license,
        "partition": done.erasure.partition,
        "dataKeys": len(done.erasure.data_keys),
        "erasedNow": done.erasure.erased,
        "leftInLog": done.erasure.left_in_log,
        "replicas": [
            {"replica": one.replica, "erased": one.erased, "trouble": one.trouble}
            for one in done.replicas
        ],
    }


def _print(done: Forgotten) -> None:
    console = output.console()
    count = len(done.erasure.data_keys)
    console.print(f"license {done.license}: {count} data key(s) erased, {done.erasure.erased} now")
    for one in done.replicas:
        console.print(
            f"replica {one.replica}: {'erased' if one.erased else one.trouble}", markup=False
        )
    left = done.erasure.left_in_log
    console.print(
        "Kafka holds nothing of it any more"
        if not left
        else f"Kafka still holds {left} of them, sealed, until it has compacted: run this again in "
        "24 h to see that they are gone"
    )
