"""The changes of a partition in a temporary file: where much differs, memory stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from tempfile import SpooledTemporaryFile
from typing import Final
from weakref import finalize

import msgspec

from projector.rehearsal.changes import Change

IN_MEMORY_BYTES: Final = 128 * 1024
"""What is kept in memory, of a partition, before there is a file."""
_LENGTH: Final = Struct(">I")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Change)


class Spool:
    """Changes in their order; in memory is only how many there are, and of which licenses."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - it is gone with this
        finalize(self, self._file.close)
        self._end = 0
        self._count = 0
        self.verdicts = 0
        self.licenses: set[str] = set()
        for one in changes:
            self.append(one)

    def append(self, change: Change) -> None:
        """Add one. Raises `OSError` where there is no room for it."""
        found = _encoder.encode(change)
        self._file.seek(self._end)
        self._file.write(_LENGTH.pack(len(found)))
        self._file.write(found)
        self._end = self._file.tell()
        self._count += 1
        self.verdicts += change.kind == "verdict"
        self.licenses.add(change.license)

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __iter__(self) -> Iterator[Change]:
        """Read them back, those that were there when this began."""
        at, end = 0, self._end
        while at < end:
            self._file.seek(at)
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            found = self._file.read(length)
            at += _LENGTH.size + length
            yield _decoder.decode(found)
