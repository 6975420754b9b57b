"""Segments: records of one partition in a compressed file.

Under gzip each record is its head (offset, timestamp in ms: 8 bytes each; length of key, of value:
4 bytes each, -1 for none; number of headers: 2 bytes; signed but for the last, big-endian), key,
value, and its headers: length (2 bytes) and text of the name, length (4 bytes, -1 for none) and
bytes of the content.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, cast

from ledger.archive.manifest import Segment
from ledger.archive.trouble import DamagedBackup
from ledger.event_log import chain
from ledger.event_log.port import Headers, Record, Topic

LEVEL: Final = 6
"""Of issued licenses it makes a quarter; 9 makes no less in twice the time, 1 a little more."""
BATCH_RECORDS: Final = 1_000
_HEAD: Final = Struct(">qqiiH")
_NAME: Final = Struct(">H")
_CONTENT: Final = Struct(">i")
_NONE: Final = -1
_FIELD_BYTES_MAX: Final = 1 << 24
"""Above whatever a broker takes: a length that was altered takes no memory."""
_CHUNK_BYTES: Final = 1 << 20


class SegmentWriter:
    """Writes a file of records that follow a `position` and its chain, under a name for a time.

    Its methods block. `size`: bytes before compression.
    """

    def __init__(self, path: Path, position: int, chain_before: bytes) -> None:
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", fileobj=self._file, compresslevel=LEVEL, mtime=0
        )
        self._first = position
        self._chain = self._before_last = chain_before
        self.position = position
        self.records = 0
        self.size = 0

    def write(self, records: Sequence[Record]) -> None:
        """Add records, in their order."""
        if not records:
            return
        found = b"".join(_encoded(one) for one in records)
        for one in records:
            self._before_last = self._chain
            self._chain = chain.extend(
                self._chain, one.offset, one.timestamp_ms, one.key, one.value
            )
        self._gzip.write(found)
        self.records += len(records)
        self.size += len(found)
        self.position = records[-1].offset + 1

    def finish(self, topic: Topic, partition: int, made_at: str) -> Segment:
        """Have it all on the disk, and say what it is."""
        self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.seek(0)
        digest = hashlib.file_digest(self._file, "sha256").hexdigest()
        self._file.close()
        return Segment(
            topic=topic,
            partition=partition,
            first=self._first,
            end=self.position,
            records=self.records,
            bytes=size,
            sha256=digest,
            before_last=self._before_last.hex(),
            chain=self._chain.hex(),
            made_at=made_at,
        )

    def drop(self) -> None:
        """Take it back, also where what it still holds doesn't fit on the disk any more."""
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)


def read_segment(
    folder: Path,
    segment: Segment,
    chain_before: bytes,
    *,
    whose: Callable[[str], str | None] = lambda _: None,
) -> Iterator[list[Record]]:
    """The records of a segment, in batches; each of its rules is held, the last ones at its end.

    `whose`: the file that a checksum belongs to, so that swapped files are told.
    Raises `DamagedBackup`, whose text names the file.
    """
    path = folder / segment.file
    try:
        with path.open("rb") as file:
            _check_file(file, segment, whose)
            file.seek(0)
            yield from _records(file, segment, chain_before)
    except FileNotFoundError:
        raise DamagedBackup(f"{segment.file} is missing from the backup") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError):
        raise DamagedBackup(f"{segment.file} is no segment: it can't be decompressed") from None


def _check_file(
    file: io.BufferedReader, segment: Segment, whose: Callable[[str], str | None]
) -> None:
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == segment.sha256 and size == segment.bytes:
        return
    if (other := whose(digest)) is not None:
        raise DamagedBackup(f"{segment.file} holds what {other} is to hold: they were swapped")
    if size < segment.bytes:
        raise DamagedBackup(
            f"{segment.file} is cut off: it has {size} bytes, and {segment.bytes} were written"
        )
    raise DamagedBackup(f"{segment.file} was altered: its checksum is not the manifest's")


def _records(file: io.BufferedReader, segment: Segment, running: bytes) -> Iterator[list[Record]]:
    at, count, before = segment.first, 0, running
    with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        stream = cast("BinaryIO", io.BufferedReader(unpacked, _CHUNK_BYTES))
        while batch := _batch(stream, segment):
            for one in batch:
                if one.offset < at or (one.offset != at and not segment.topic.compacted):
                    raise DamagedBackup(f"{segment.file}: before {at} comes {one.offset}")
                before = running
                running = chain.extend(running, one.offset, one.timestamp_ms, one.key, one.value)
                at = one.offset + 1
            count += len(batch)
            yield batch
    said = (segment.end, segment.records, segment.before_last, segment.chain)
    if (at, count, before.hex(), running.hex()) != said:
        raise DamagedBackup(f"{segment.file} was altered: its chain is not the manifest's")


def _batch(stream: BinaryIO, segment: Segment) -> list[Record]:
    found: list[Record] = []
    while len(found) < BATCH_RECORDS and (head := stream.read(_HEAD.size)):
        if len(head) != _HEAD.size:
            raise EOFError
        offset, timestamp_ms, of_key, of_value, headers = _HEAD.unpack(head)
        if of_key < _NONE or of_value < _NONE:
            raise EOFError
        # In one piece: reading takes longer than cutting.
        both = _field(stream, max(of_key, 0) + max(of_value, 0)) or b""
        found.append(
            Record(
                partition=segment.partition,
                offset=offset,
                timestamp_ms=timestamp_ms,
                key=None if of_key == _NONE else both[:of_key],
                value=None if of_value == _NONE else both[max(of_key, 0) :],
                headers=_headers(stream, headers) if headers else (),
            )
        )
    return found


def _field(stream: BinaryIO, length: int) -> bytes | None:
    if length == _NONE:
        return None
    if not 0 <= length <= _FIELD_BYTES_MAX:
        raise EOFError
    found = stream.read(length)
    if len(found) != length:
        raise EOFError
    return found


def _headers(stream: BinaryIO, count: int) -> Headers:
    found = []
    for _ in range(count):
        (length,) = _NAME.unpack(_field(stream, _NAME.size) or b"")
        name = (_field(stream, length) or b"").decode()
        (length,) = _CONTENT.unpack(_field(stream, _CONTENT.size) or b"")
        found.append((name, _field(stream, length)))
    return tuple(found)  # type: ignore[arg-type] # Kafka has headers without content, too


def _encoded(record: Record) -> bytes:
    key, value = record.key, record.value
    head = _HEAD.pack(
        record.offset,
        record.timestamp_ms,
        _NONE if key is None else len(key),
        _NONE if value is None else len(value),
        len(record.headers),
    )
    if not record.headers:
        return b"%b%b%b" % (head, key or b"", value or b"")
    return b"".join((head, key or b"", value or b"", *map(_header, record.headers)))


def _header(header: tuple[str, bytes | None]) -> bytes:
    name, content = header[0].encode(), header[1]
    length = _NONE if content is None else len(content)
    return b"".join((_NAME.pack(len(name)), name, _CONTENT.pack(length), content or b""))
