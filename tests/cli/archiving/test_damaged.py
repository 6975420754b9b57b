"""Backups that somebody did something to: it is seen, and each time said what."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from ledger.archive import manifest as manifests
from ledger.archive.folder import MANIFEST, Folder
from ledger.archive.manifest import Manifest, with_segments
from ledger.archive.trouble import (
    DamagedBackup,
    ForeignBackup,
    OtherFormat,
)
from ledger.domain.identifiers import Pepper
from tests.activity import Activity
from tests.cli.archiving.ledgers import (
    PARTITIONS,
    CompactedLog,
    back_up,
    begin,
    live,
    settings,
    verified,
)

THESE = settings()


@pytest.fixture
def activity() -> Activity:
    return Activity(5, partitions=PARTITIONS)


@pytest.fixture
async def log(activity: Activity) -> CompactedLog:
    log = CompactedLog()
    await begin(log, THESE)
    await live(log, activity, 200)
    return log


async def _truncate(folder: Path, file: str) -> None:
    path = folder / file
    path.write_bytes(path.read_bytes()[:-9])


async def _change(folder: Path, file: str) -> None:
    path = folder / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


async def _remove(folder: Path, file: str) -> None:
    (folder / file).unlink()


async def _swap(folder: Path, file: str) -> None:
    other = folder / Folder(folder).manifest().segments[-1].file
    (folder / file).rename(folder / "x")
    other.rename(folder / file)
    (folder / "x").rename(other)


async def _of_another_ledger(folder: Path, file: str) -> None:
    """Put another ledger's segment into the place of this one's, checksum and chain included."""
    other = CompactedLog()
    await begin(other, THESE)
    await back_up(other, folder / "other", THESE.pepper)
    taken = Folder(folder / "other").manifest().segments[0]
    (folder / taken.file).write_bytes((folder / "other" / taken.file).read_bytes())
    found = Folder(folder).manifest()
    kept = [one for one in found.segments if (one.topic, one.partition) != (taken.topic, 0)]
    _seal(folder, with_segments(replace(found, segments=(), ends=()), [*kept, taken]))


async def _cut_manifest(folder: Path, _: str) -> None:
    await _truncate(folder, MANIFEST)


async def _edit_manifest(folder: Path, _: str) -> None:
    text = (folder / MANIFEST).read_text()
    edited = text.replace('"tool": "license-ledger', '"tool": "another-ledger')
    assert edited != text
    (folder / MANIFEST).write_text(edited)


async def _drop_last(folder: Path, _: str) -> None:
    """Leave out the manifest's last entry, as if it had never been."""
    found = json.loads((folder / MANIFEST).read_text())
    del found["segments"][-1]
    (folder / MANIFEST).write_text(json.dumps(found))


async def _reorder(folder: Path, _: str) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    found["segments"][0], found["segments"][1] = found["segments"][1], found["segments"][0]
    (folder / MANIFEST).write_text(json.dumps(found))


async def _no_data_keys(folder: Path, _: str) -> None:
    found = Folder(folder).manifest()
    kept = [one for one in found.segments if not one.topic.compacted]
    _seal(folder, with_segments(replace(found, segments=(), ends=()), kept))


async def _later_format(folder: Path, _: str) -> None:
    _seal(folder, replace(Folder(folder).manifest(), format=2))


def _seal(folder: Path, found: Manifest) -> None:
    (folder / MANIFEST).write_bytes(manifests.encode(found, THESE.pepper))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, "FILE is cut off: it has "),
        (_change, "FILE was altered: its checksum is not the manifest's"),
        (_remove, "FILE is missing from the backup"),
        (_swap, r"FILE holds what incident-events-.* is to hold: they were swapped"),
        (
            _of_another_ledger,
            "of the backup does not begin with the genesis record of ledger",
        ),
        (_cut_manifest, "manifest can't be read: it was cut off or altered"),
        (_edit_manifest, "manifest was altered: its seal is not of what it says"),
        (_drop_last, "manifest was altered: its ends are not its segments'"),
        (_reorder, "manifest was altered: its ends are not its segments'"),
        (_no_data_keys, "license-data-keys, partition 0, is not in the backup"),
        (_later_format, "of format 2, and this version reads 1: use the version that made it"),
    ],
)
async def test_what_was_done_to_a_backup_is_seen_and_said(
    damage: Callable[[Path, str], Awaitable[None]], said: str, log: CompactedLog, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    file = Folder(tmp_path).manifest().segments[1].file
    await damage(tmp_path, file)
    said = said.replace("FILE", re.escape(file))
    with pytest.raises((DamagedBackup, OtherFormat), match=said) as raised:
        verified(tmp_path, THESE.pepper)
    way_out = "Bring that back from a copy of the backup" if damage is not _later_format else "use"
    assert way_out in str(raised.value)


async def test_a_manifest_that_others_sealed_is_not_gone_on_from(
    log: CompactedLog, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    found = Folder(tmp_path).manifest()
    stranger = Pepper(secrets.token_bytes(32))
    (tmp_path / MANIFEST).write_bytes(manifests.encode(found, stranger))
    with pytest.raises(DamagedBackup, match="its seal"):
        await back_up(log, tmp_path, THESE.pepper)


async def test_a_foreign_pepper_and_another_n_are_refused_by_name(
    log: CompactedLog, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    found = Folder(tmp_path).manifest()
    with pytest.raises(ForeignBackup, match="LEDGER_PEPPER"):
        manifests.check(found, pepper=Pepper(secrets.token_bytes(32)), partitions=PARTITIONS)
    with pytest.raises(ForeignBackup, match="LEDGER_PARTITIONS says 8: set it to 4"):
        manifests.check(found, pepper=THESE.pepper, partitions=8)


@pytest.mark.parametrize(
    ("damage", "said"), [(_remove, r"is missing\. Bring that back"), (_truncate, "bytes, not")]
)
async def test_a_folder_that_lacks_something_is_not_gone_on_from(
    damage: Callable[[Path, str], Awaitable[None]], said: str, log: CompactedLog, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    await damage(tmp_path, Folder(tmp_path).manifest().segments[1].file)
    with pytest.raises(DamagedBackup, match=said):
        await back_up(log, tmp_path, THESE.pepper)
