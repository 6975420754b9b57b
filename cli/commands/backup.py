"""`ledger backup`: the log, whole and as it is, in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli import connection, output
from cli.archiving.backup import BackedUp, back_up
from cli.archiving.stages import Stage, Stages
from cli.archiving.trouble import on_files
from cli.archiving.verifying import verify
from cli.importing.progress import on_stderr
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run
from cli.trouble import Missing
from ledger.archive.folder import Folder
from ledger.archive.manifest import Manifest, check
from ledger.archive.reading import Archive
from ledger.domain.identifiers import Pepper
from ledger.environment import given, whole_number
from ledger.settings import Settings, read_pepper

_IN_MB: Final = 100_000

BackupFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The backup's folder.", show_default=False)
]


def backup(
    folder: BackupFolder,
    *,
    only_verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Write nothing: read the whole backup, and see that it is as it was."
        ),
    ] = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Back the ledger's log up into a folder.

    Run again on the same folder it adds what came since, or goes on after an interruption. The
    ledger runs on meanwhile. What must be kept beside it is named at the end.
    Examples: `ledger backup /mnt/backups/ledger`, `ledger backup /mnt/backups/ledger --verify`.
    """
    with on_files(folder):
        if only_verify:
            _verify(folder, data, as_json=as_json)
        else:
            _back_up(folder, data, as_json=as_json)


def _back_up(folder: Path, data: Path, *, as_json: bool) -> None:
    settings = connection.settings(data)
    done = run(_backed_up(settings, folder))
    if as_json:
        output.print_json(_document(folder, done.manifest) | _added(done, settings))
        return
    console = output.console()
    console.print(_summary(folder, done.manifest), markup=False)
    console.print(f"added now: {done.records:,} records in {_size(done.bytes)}", markup=False)
    console.print(
        "Keep what is not in it, apart from it; without the first two it is worth nothing:"
    )
    for name in to_keep(settings):
        console.print(f"  {name}", markup=False)


async def _backed_up(settings: Settings, folder: Path) -> BackedUp:
    log = connection.new_log(settings)
    try:
        stages = Stages(on_stderr())
        return await back_up(log, folder, settings.pepper, settings.partitions, stages)
    finally:
        await log.close()


def _verify(folder: Path, data: Path, *, as_json: bool) -> None:
    manifest = Folder(folder).manifest()
    unsealed = _check_seal(manifest, data)
    records = run(_verified(folder, manifest))
    if as_json:
        output.print_json(
            _document(folder, manifest) | {"verified": records, "sealChecked": unsealed is None}
        )
        return
    output.console().print(_summary(folder, manifest), markup=False)
    output.console().print("all of it is as it was written")
    if unsealed is not None:
        output.remark(f"Whose it is was not checked, nor that nobody rewrote all of it: {unsealed}")


async def _verified(folder: Path, manifest: Manifest) -> int:
    archive = Archive(folder, manifest)
    with Stages(on_stderr()).of(Stage("verify", archive.offsets)) as moved:
        return await verify(archive, moved)


def _check_seal(manifest: Manifest, data: Path) -> str | None:
    """Compare with the pepper that the settings have; else say where one is looked for.

    Off-site there is no ledger: the pepper alone will do.
    """
    environment: Mapping[str, str] = os.environ
    if not _has_pepper(environment):
        try:
            environment = connection.environment(data)
        except Missing:
            environment = {}
    if not _has_pepper(environment):
        return "neither LEDGER_PEPPER nor LEDGER_PEPPER_FILE is set"
    pepper = Pepper(read_pepper(environment))
    partitions = whole_number(environment, "LEDGER_PARTITIONS", manifest.partitions)
    check(manifest, pepper=pepper, partitions=partitions or 0)
    return None


def _has_pepper(environment: Mapping[str, str]) -> bool:
    return any(given(environment, name) for name in ("LEDGER_PEPPER", "LEDGER_PEPPER_FILE"))


def to_keep(settings: Settings) -> list[str]:
    """What a restore needs beside the backup: names, and no secret."""
    kids = ", ".join(kid for kid, _ in settings.seal_keys)
    return [
        "LEDGER_PEPPER",
        f"LEDGER_SEAL_KEYS ({kids}, and older ones that are not in use any more)",
        f"LEDGER_PARTITIONS={settings.partitions}",
        f"LEDGER_TOPIC_PREFIX={settings.topic_prefix}",
        "LEDGER_EMERGENCY_KEYS, and the private halves, which are on no server",
        "LEDGER_CHECKPOINT_KEYS, and checkpoints",
        "the other LEDGER_* of each process: digests of tokens, users and passwords, certificates",
    ]


def _summary(folder: Path, manifest: Manifest) -> str:
    records = sum(one.records for one in manifest.segments)
    size = _size(sum(one.bytes for one in manifest.segments))
    return (
        f"ledger {manifest.ledger}: {len(manifest.topics)} topics, {records:,} records, up to "
        f"{manifest.made_at}, in {len(manifest.segments):,} files of {folder} ({size})"
    )


def _document(folder: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "ledger": manifest.ledger,
        "partitions": manifest.partitions,
        "madeAt": manifest.made_at,
        "topics": {
            topic: sum(one.records for one in manifest.segments if one.topic == topic)
            for topic in manifest.topics
        },
        "files": len(manifest.segments),
        "bytes": sum(one.bytes for one in manifest.segments),
    }


def _added(done: BackedUp, settings: Settings) -> dict[str, Any]:
    return {
        "added": {"records": done.records, "bytes": done.bytes},
        "keepElsewhere": to_keep(settings),
    }


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= _IN_MB else f"{count:,} bytes"
