"""Backups of ledgers in memory: all is in them, whatever comes between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec
import pytest

from cli import patience
from cli.archiving import backup
from ledger.archive.due import due
from ledger.archive.folder import MANIFEST, UNFINISHED, Folder
from ledger.archive.trouble import (
    FolderBusy,
    ForeignBackup,
    NoBackup,
    OtherLog,
    UnreadableNote,
)
from ledger.event_log.port import LogUnavailable, Record, Topic
from ledger.sealing.records import read_record_key
from tests.activity import Activity
from tests.cli.archiving.ledgers import (
    PARTITIONS,
    CompactedLog,
    all_records,
    append_data_key,
    archive,
    back_up,
    begin,
    contents,
    erase,
    in_backup,
    live,
    names,
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


async def test_all_of_the_log_is_in_the_backup(log: CompactedLog, tmp_path: Path) -> None:
    done = await back_up(log, tmp_path, THESE.pepper)
    original = await all_records(log)
    assert in_backup(tmp_path) == original
    count = sum(len(records) for records in original.values())
    assert (done.records, verified(tmp_path, THESE.pepper)) == (count, count)
    assert {name for name in names(tmp_path) if not name.endswith(".gz")} == {MANIFEST, "lock"}
    assert len(done.manifest.segments) > len(done.manifest.ends), "several segments a partition"


async def test_what_came_since_is_added(
    log: CompactedLog, activity: Activity, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    before = contents(tmp_path)
    for _ in range(3):
        await live(log, activity, 30)
        done = await back_up(log, tmp_path, THESE.pepper)
        assert 30 <= done.records <= 60
    assert in_backup(tmp_path) == await all_records(log)
    verified(tmp_path, THESE.pepper)
    now = contents(tmp_path)
    assert all(now[name] == before[name] for name in before.keys() - {MANIFEST})
    assert (await back_up(log, tmp_path, THESE.pepper)).records == 0


async def test_the_copy_is_as_good_as_the_folder(
    log: CompactedLog, activity: Activity, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    await back_up(log, one, THESE.pepper)
    one.rename(other)
    await live(log, activity, 30)
    await back_up(log, other, THESE.pepper)
    assert in_backup(other) == await all_records(log)


async def test_another_ledgers_increment_is_refused_and_nothing_is_touched(
    log: CompactedLog, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    before = contents(tmp_path)
    other = CompactedLog()
    await begin(other, THESE)
    with pytest.raises(ForeignBackup, match=r"holds the backup of ledger .*: name another folder"):
        await back_up(other, tmp_path, THESE.pepper)
    assert contents(tmp_path) == before


async def test_a_log_that_was_cut_off_or_went_another_way_is_refused(
    log: CompactedLog, activity: Activity, tmp_path: Path
) -> None:
    other = CompactedLog()
    other._records = {topic: [[*one] for one in of] for topic, of in log._records.items()}  # noqa: SLF001 - what a restore from an older state leaves
    await live(log, activity, 30)
    await back_up(log, tmp_path, THESE.pepper)
    with pytest.raises(OtherLog, match="the log was replaced or cut off"):
        await back_up(other, tmp_path, THESE.pepper)
    await live(other, activity, 60)
    with pytest.raises(OtherLog, match="has another record at offset"):
        await back_up(other, tmp_path, THESE.pepper)


async def test_a_folder_with_other_files_is_left_alone(log: CompactedLog, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NoBackup, match="holds other files"):
        await back_up(log, tmp_path, THESE.pepper)
    with pytest.raises(NoBackup, match="is no folder"):
        await back_up(log, tmp_path / "thesis.txt", THESE.pepper)
    with pytest.raises(NoBackup, match="holds no backup"):
        verified(tmp_path, THESE.pepper)
    assert names(tmp_path) == {"thesis.txt"}


async def test_a_folder_on_a_disk_that_is_not_there_is_not_made(
    log: CompactedLog, tmp_path: Path
) -> None:
    with pytest.raises(NoBackup, match="make it first, or mount the disk that it is on"):
        await back_up(log, tmp_path / "disk" / "backup", THESE.pepper)
    assert names(tmp_path) == set()


async def test_a_folder_that_lost_its_manifest_is_nobody_elses(
    log: CompactedLog, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    (tmp_path / MANIFEST).unlink()
    before = contents(tmp_path)
    other = CompactedLog()
    await begin(other, THESE)
    for one in (other, log):
        with pytest.raises(NoBackup, match="bring the manifest back from a copy"):
            await back_up(one, tmp_path, THESE.pepper)
    assert contents(tmp_path) == before


async def test_from_its_first_moment_on_a_folder_is_of_one_ledger(
    activity: Activity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    log, other = FailingLog(), CompactedLog()
    await begin(log, THESE)
    await live(log, activity, 300)
    await begin(other, THESE)
    log.batches_left = 12
    with pytest.raises(patience.BrokerAwayError):
        await back_up(log, tmp_path, THESE.pepper)
    with pytest.raises(ForeignBackup, match="name another folder"):
        await back_up(other, tmp_path, THESE.pepper)
    log.batches_left = 1_000_000
    await back_up(log, tmp_path, THESE.pepper)
    assert in_backup(tmp_path) == await all_records(log)


async def test_a_note_that_can_not_be_read_says_what_to_do(
    log: CompactedLog, activity: Activity, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    await live(log, activity, 30)
    (tmp_path / UNFINISHED).write_bytes(b"{")
    with pytest.raises(UnreadableNote, match=f"where {MANIFEST} is there, delete it"):
        await back_up(log, tmp_path, THESE.pepper)
    (tmp_path / UNFINISHED).unlink()
    await back_up(log, tmp_path, THESE.pepper)
    assert in_backup(tmp_path) == await all_records(log)


async def test_two_at_once_do_not_write_into_one_folder(log: CompactedLog, tmp_path: Path) -> None:
    with Folder(tmp_path).held(), pytest.raises(FolderBusy):
        await back_up(log, tmp_path, THESE.pepper)
    await back_up(log, tmp_path, THESE.pepper)


class FailingLog(CompactedLog):
    """Gives up after some batches."""

    batches_left = 1_000_000

    async def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        async for batch in super().read(topic, partition, start=start, stop=stop):
            self.batches_left -= 1
            if self.batches_left < 0:
                raise LogUnavailable("nothing arrives")
            yield batch


async def test_an_interrupted_run_goes_on_and_the_last_whole_cut_stays(
    activity: Activity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.0)
    monkeypatch.setattr(backup, "NOTE_EVERY_S", 0.0)
    log = FailingLog()
    await begin(log, THESE)
    await live(log, activity, 300)
    runs_for = 30
    while True:
        log.batches_left = runs_for
        try:
            await back_up(log, tmp_path, THESE.pepper)
        except patience.BrokerAwayError:
            assert (tmp_path / UNFINISHED).exists()
            with pytest.raises(NoBackup, match="run `ledger backup` again"):
                verified(tmp_path, THESE.pepper)
            runs_for += 5
            continue
        break
    assert runs_for > 30, "it was never interrupted"
    log.batches_left = 1_000_000
    whole = in_backup(tmp_path)
    assert whole == await all_records(log)

    await live(log, activity, 300)
    log.batches_left = 40
    with pytest.raises(patience.BrokerAwayError):
        await back_up(log, tmp_path, THESE.pepper)
    assert in_backup(tmp_path) == whole
    verified(tmp_path, THESE.pepper)
    written = msgspec.json.decode((tmp_path / UNFINISHED).read_bytes())["segments"]
    log.batches_left = 1_000_000
    done = await back_up(log, tmp_path, THESE.pepper)
    assert in_backup(tmp_path) == await all_records(log)
    assert done.records < sum(one["records"] for one in written), "it went on, and began not anew"
    assert not (tmp_path / UNFINISHED).exists()


async def test_an_old_note_of_an_unfinished_run_means_nothing(
    log: CompactedLog, activity: Activity, tmp_path: Path
) -> None:
    await back_up(log, tmp_path, THESE.pepper)
    old = (tmp_path / MANIFEST).read_bytes()
    await live(log, activity, 30)
    await back_up(log, tmp_path, THESE.pepper)
    (tmp_path / UNFINISHED).write_bytes(old)
    assert (await back_up(log, tmp_path, THESE.pepper)).records == 0
    assert in_backup(tmp_path) == await all_records(log)


class BusyLog(CompactedLog):
    """A ledger that goes on, whatever of it is read."""

    activity: Activity
    busy = False

    async def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        async for batch in super().read(topic, partition, start=start, stop=stop):
            if self.busy:
                self.busy = False
                await live(self, self.activity, 5)
                await self.compact()
                self.busy = True
            yield batch


async def test_each_license_in_the_cut_has_its_data_key(activity: Activity, tmp_path: Path) -> None:
    log = BusyLog()
    log.activity = Activity(6, partitions=PARTITIONS, licenses=4_000)
    await begin(log, THESE)
    await live(log, log.activity, 50)
    log.busy = True
    await back_up(log, tmp_path, THESE.pepper)
    found = in_backup(tmp_path)
    with_key = {
        named[0]
        for (topic, _), records in found.items()
        for one in records
        if topic.compacted and (named := read_record_key(one.key)) is not None
    }
    licenses = {
        one.key.decode()
        for (topic, _), records in found.items()
        for one in records
        if topic is Topic.LICENSE_EVENTS and one.key not in {None, b"genesis"}
    }
    assert len(licenses) > 40
    assert licenses <= with_key


async def test_what_is_compacted_while_it_is_read_is_not_lost(tmp_path: Path) -> None:
    """A data key is sealed anew, and its old record goes, between asking for ends and reading."""
    log = CompactedLog()
    await begin(log, THESE)
    license_ = "00000000-0000-8000-8000-000000000000"
    key = await append_data_key(log, license_)
    asked: list[Topic] = []
    ends = log.ends

    async def ends_then_compact(topic: Topic) -> dict[int, int]:
        found = await ends(topic)
        if topic.compacted and topic not in asked and Topic.CATALOG_EVENTS in asked:
            await append_data_key(log, license_, key)
            log.compacted_to = await ends(topic)
        asked.append(topic)
        return found

    log.ends = ends_then_compact  # type: ignore[method-assign]
    await back_up(log, tmp_path, THESE.pepper)
    records = in_backup(tmp_path)[Topic.LICENSE_DATA_KEYS, 0]
    assert [one.offset for one in records] == [0, 2]


async def test_of_data_keys_only_the_last_word_is_due(log: CompactedLog, tmp_path: Path) -> None:
    license_ = "00000000-0000-8000-8000-000000000000"
    kept, sealed_anew, erased, erased_later = [
        await append_data_key(log, license_) for _ in range(4)
    ]
    await append_data_key(log, license_, sealed_anew)
    await erase(log, license_, erased.dk)
    await append_data_key(log, license_)
    await log.compact()
    await back_up(log, tmp_path, THESE.pepper)
    await erase(log, license_, erased_later.dk)
    await back_up(log, tmp_path, THESE.pepper)

    place = (Topic.LICENSE_DATA_KEYS, 0)
    in_log = [one async for batch in log.read(*place, start=0) for one in batch]
    asked = [one for batch in due(archive(tmp_path), *place) for one in batch]
    assert [one.record.offset for one in asked] == list(range(in_log[-1].offset + 1))
    assert len(in_log) < len(asked), "compaction left gaps"
    last = {one.key: one for one in in_log}
    assert [one.record for one in asked if one.needed] == sorted(
        last.values(), key=lambda one: one.offset
    )
    values = {
        read_record_key(one.record.key): one.record.value for one in asked if one.record.value
    }
    assert (license_, kept.dk) in values
    assert (license_, sealed_anew.dk) in values
    assert not {(license_, erased.dk), (license_, erased_later.dk)} & values.keys()
    assert asked[0].record == in_log[0], "the genesis is itself"
