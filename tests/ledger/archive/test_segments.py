"""Segments: what is written is read again, and nothing else is."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.archive.manifest import Segment
from ledger.archive.segments import BATCH_RECORDS, SegmentWriter, read_segment
from ledger.archive.trouble import DamagedBackup
from ledger.event_log import chain
from ledger.event_log.port import Record, Topic

BYTES = st.none() | st.binary(max_size=40)
NUMBERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
HEADERS = st.lists(st.tuples(st.text(max_size=9), BYTES), max_size=3)
PLAIN = st.tuples(NUMBERS, BYTES, BYTES, HEADERS)


def records(said: list[tuple[int, bytes | None, bytes | None, list[object]]]) -> list[Record]:
    return [
        Record(
            partition=3,
            offset=7 + number,
            timestamp_ms=timestamp_ms,
            key=key,
            value=value,
            headers=tuple(headers),  # type: ignore[arg-type]
        )
        for number, (timestamp_ms, key, value, headers) in enumerate(said)
    ]


def write(folder: Path, found: list[Record], before: bytes = chain.START) -> Segment:
    name = Segment.name(Topic.LICENSE_EVENTS, 3, 7)
    writer = SegmentWriter(folder / name, 7, before)
    for at in range(0, len(found), 2):
        writer.write(found[at : at + 2])
    return writer.finish(Topic.LICENSE_EVENTS, 3, "2026-01-01T00:00:00Z")


def read(folder: Path, segment: Segment, before: bytes = chain.START) -> list[Record]:
    return [one for batch in read_segment(folder, segment, before) for one in batch]


@given(said=st.lists(PLAIN, min_size=1, max_size=6))
def test_what_was_written_is_read_again(
    said: list[tuple[int, bytes | None, bytes | None, list[object]]],
) -> None:
    with TemporaryDirectory() as folder:
        segment = write(Path(folder), records(said))
        assert (segment.first, segment.end, segment.records) == (7, 7 + len(said), len(said))
        assert read(Path(folder), segment) == records(said)


def test_a_segment_is_read_in_batches_of_limited_size(tmp_path: Path) -> None:
    found = records([(1, b"k", b"v", [])] * (2 * BATCH_RECORDS + 1))
    segment = write(tmp_path, found)
    sizes = [len(batch) for batch in read_segment(tmp_path, segment, chain.START)]
    assert sizes == [BATCH_RECORDS, BATCH_RECORDS, 1]


def test_only_its_owner_reads_a_segment(tmp_path: Path) -> None:
    segment = write(tmp_path, records([(1, b"k", b"v", [])]))
    assert (tmp_path / segment.file).stat().st_mode & 0o777 == 0o600


def test_the_same_records_make_the_same_bytes(tmp_path: Path) -> None:
    found = records([(1, b"k", b"v", [("a", b"b")]), (2, None, None, [])])
    first = write(tmp_path, found)
    again = write(tmp_path, found)
    assert again == first


def test_the_chain_begins_where_the_segment_before_ended(tmp_path: Path) -> None:
    segment = write(tmp_path, records([(1, b"k", b"v", [])]))
    with pytest.raises(DamagedBackup, match="its chain is not the manifest's"):
        read(tmp_path, segment, bytes(15) + b"\x01")


def _rewritten(folder: Path, segment: Segment, content: bytes) -> Segment:
    """A segment whose checksum somebody made anew after altering it."""
    data = gzip.compress(content)
    (folder / segment.file).write_bytes(data)
    return replace(segment, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_no_byte_is_altered_unseen_even_under_its_right_checksum(tmp_path: Path, at: int) -> None:
    segment = write(tmp_path, records([(1, b"key", b"value", []), (2, b"key", b"other", [])]))
    content = bytearray(gzip.decompress((tmp_path / segment.file).read_bytes()))
    content[at] ^= 1
    with pytest.raises(DamagedBackup, match=segment.file):
        read(tmp_path, _rewritten(tmp_path, segment, bytes(content)))


@pytest.mark.parametrize("length", [0, 1, 25, 26, 33])
def test_a_content_that_ends_too_early_is_refused(tmp_path: Path, length: int) -> None:
    segment = write(tmp_path, records([(1, b"key", b"value", [])]))
    content = gzip.decompress((tmp_path / segment.file).read_bytes())[:length]
    with pytest.raises(DamagedBackup, match=segment.file):
        read(tmp_path, _rewritten(tmp_path, segment, content))


def test_a_huge_length_takes_no_memory(tmp_path: Path) -> None:
    segment = write(tmp_path, records([(1, b"key", b"value", [])]))
    content = bytearray(gzip.decompress((tmp_path / segment.file).read_bytes()))
    content[20:24] = b"\x7f\xff\xff\xff"
    with pytest.raises(DamagedBackup, match="can't be decompressed"):
        read(tmp_path, _rewritten(tmp_path, segment, bytes(content)))


def test_a_segment_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path / "a.part", 0, chain.START)
    writer.write(records([(1, b"key", b"value", [])]))
    writer.drop()
    assert list(tmp_path.iterdir()) == []
