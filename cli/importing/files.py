"""Imports of whole files, one after another, into the ledger of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cli.connection import Connection, connected
from cli.importing.progress import Work
from cli.importing.run import Feature, FeatureResult, Importer
from cli.importing.scan import Form, ImportRefusedError, Scan, scan
from ledger.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What was found in a file, and what the ledger says of each of its features.

    `keys`: the key of each feature's license.
    """

    found: Scan
    features: Sequence[FeatureResult]
    keys: Mapping[str, str] = field(repr=False)

    @property
    def left_out(self) -> dict[str, int]:
        """Denials of features that nobody ever checked out: how many seats they had is unknown."""
        licensed = {one.feature for one in self.features}
        counts = {name: tally.denied for name, tally in self.found.features.items()}
        return {name: count for name, count in counts.items() if name not in licensed}


class Watching(Protocol):
    """Is told how an import moves on."""

    def begin(self, found: Work) -> Callable[[int], None]:
        """Begin a file; the function is called with how many more of its lines are done."""

    def end(self) -> None:
        """The file is done, or given up."""


async def import_files(
    settings: Settings,
    paths: Sequence[Path],
    form: Form,
    seats: Mapping[str, int],
    watching: Watching,
) -> list[FileResult]:
    """Read all files, then import one after another. Running it again changes nothing.

    Raises `ImportRefusedError` before anything is sent where a file or `seats` can't be right;
    `ImportIncompleteError`, `BrokerAwayError`, `LogError`, `ReplicasAwayError` on the way.
    """
    scans = [scan(path, form, settings.pepper) for path in paths]
    known = {name for found in scans for name in found.features}
    if unknown := sorted(set(seats) - known):
        raise ImportRefusedError(
            f"--seats {unknown[0]}={seats[unknown[0]]}: no file has a feature of that name"
        )
    async with connected(settings) as connection:
        results = []
        for found in scans:
            features, done = await _import(connection, found, seats, watching)
            keys = {name: feature.key for name, feature in features.items()}
            results.append(FileResult(found=found, features=done, keys=keys))
        return results


async def _import(
    connection: Connection, found: Scan, seats: Mapping[str, int], watching: Watching
) -> tuple[Mapping[str, Feature], Sequence[FeatureResult]]:
    try:
        importer = Importer(
            settings=connection.settings,
            ledger=connection.ledger,
            log=connection.log,
            sealer=connection.sealer,
            replicas=connection.replicas,
            on_moved=watching.begin(found),
        )
        named = {name: count for name, count in seats.items() if name in found.features}
        features = await importer.features(found, named)
        await importer.send(found, features)
    finally:
        watching.end()
    return features, await importer.results(found, features)
