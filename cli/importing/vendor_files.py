"""A vendor's export, all files of it: looked at first, loaded in the order of their need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.connection import connected
from cli.importing.files import Watching
from cli.importing.vendor import Loaded, VendorImport
from cli.importing.vendor_scan import check_apart, in_order, scan
from ledger.settings import Settings
from ledger.sources.vendor_csv import Kind


async def import_export(
    settings: Settings,
    paths: Sequence[Path],
    watching: Watching,
    *,
    kind: Kind | None = None,
    policy: str | None = None,
    dry_run: bool = False,
) -> list[Loaded]:
    """Load the files; `dry_run` says what would be done and writes nothing.

    `policy`: id of the one for licenses whose rows name none.

    Raises `ImportRefusedError` before anything is sent where a file can't be right;
    `BrokerAwayError`, `NotFoldedError`, `LogError`, `ReplicasAwayError` on the way.
    """
    tables = in_order([scan(path, settings.pepper, kind) for path in paths])
    check_apart(tables)
    async with connected(settings) as connection:
        importer = VendorImport(connection, policy)
        looked = await importer.look(tables, watching, foresee=dry_run)
        if dry_run:
            return looked
        results = []
        for table in tables:
            try:
                results.append(await importer.load(table, watching.begin(table)))
            finally:
                watching.end()
        for loaded in results:
            if loaded.table.kind == "licenses":
                await importer.suspend(loaded)
        return results
