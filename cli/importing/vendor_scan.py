"""Reading a vendor's export before anything is sent: what is in it, is it the same as before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from cli.importing.scan import BROKEN_KEPT, HEAD_LINES_MAX, ImportRefusedError
from ledger.domain.identifiers import Pepper
from ledger.sources.csv_records import DELIMITERS, CsvRecord, NotUtf8Error, csv_records
from ledger.sources.lines import PrefixDigest, bounded_lines, source_of
from ledger.sources.vendor_csv import BadRow, HeaderError, Kind, Row, Shape, rows, shape

_PRIVATE: Final = 0o600


class Table(Struct, kw_only=True):
    """A file: its shape, the name of the source, and how many of its rows can be read.

    `bad` holds the first of the rows that can't, `bad_lines` the lines of all.
    """

    path: Path
    shape: Shape
    delimiter: str
    source: str = ""
    rows: int = 0
    moves: int = 0
    bad: list[BadRow]
    bad_lines: set[int]

    @property
    def kind(self) -> Kind:
        """Which of the two kinds it is."""
        return self.shape.kind

    def note(self, bad: BadRow) -> None:
        """Note a row that is not loaded, and its first reason."""
        if bad.line in self.bad_lines:
            return
        self.bad_lines.add(bad.line)
        if len(self.bad) < BROKEN_KEPT:
            self.bad.append(bad)


class DigestedRow(Struct, frozen=True, kw_only=True):
    """A row, and the digest of all lines up to it."""

    row: Row
    digest: str

    @property
    def line(self) -> int:
        """The line that it begins in."""
        return self.row.record.line


def scan(path: Path, pepper: Pepper, kind: Kind | None = None) -> Table:
    """Read the whole file once. Raises `ImportRefusedError` if it can't be what it must be."""
    try:
        header = next(_records(path, None), None)
        if header is None:
            raise ImportRefusedError(f"{path}: the file is empty")
        delimiter = max(DELIMITERS, key=header.raw.decode().count)
        table = Table(
            path=path, shape=shape(header, kind), delimiter=delimiter, bad=[], bad_lines=set()
        )
        head = [header.raw]
        for row in _rows(table):
            table.rows += 1
            if not table.source and len(head) < HEAD_LINES_MAX:
                head.append(row.record.raw)
            if isinstance(row.said, BadRow):
                table.note(row.said)
                continue
            table.moves += 1
            table.source = table.source or source_of(f"{table.kind}-csv", head, pepper)
    except (HeaderError, NotUtf8Error) as error:
        raise ImportRefusedError(f"{path}: {error}") from None
    return table


def digested(table: Table, pepper: Pepper) -> Iterator[DigestedRow]:
    """Read the good rows again, in order, each with its digest."""
    digest = PrefixDigest(pepper)

    def counted() -> Iterator[CsvRecord]:
        for record in _records(table.path, table.delimiter):
            digest.add(record.raw)
            if record.line > 1:
                yield record

    for row in rows(counted(), table.shape):
        if not isinstance(row.said, BadRow):
            yield DigestedRow(row=row, digest=digest.value)


def compare(table: Table, pepper: Pepper, applied: Mapping[int, str | None]) -> None:
    """Compare the file with what was imported of it before, by the digests of its lines.

    Raises `ImportRefusedError` naming the first line up to which it is another. Lines beyond the
    file's end can't be compared.
    """
    left, last = dict(applied), 0
    for one in digested(table, pepper) if applied else ():
        last = one.line
        if one.line in left and left.pop(one.line) not in {None, one.digest}:
            raise _changed(table, one.line)
    if missing := [line for line in left if line <= last]:
        raise _changed(table, min(missing))


def write_rejects(table: Table, to: Path) -> None:
    """Write the header and the rows that were not loaded, as they stand, for their owner only.

    Raises `ImportRefusedError` where the file is there already or can't be made.
    """
    try:
        handle = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except OSError as error:
        raise ImportRefusedError(f"--rejects {to}: {error.strerror}; name a new file") from None
    with os.fdopen(handle, "wb") as file:
        file.writelines(_rejected(table))


def _rejected(table: Table) -> Iterator[bytes]:
    for record in _records(table.path, table.delimiter):
        if record.line == 1 or record.line in table.bad_lines:
            yield record.raw.rstrip(b"\r\n") + b"\n"


def _changed(table: Table, line: int) -> ImportRefusedError:
    return ImportRefusedError(
        f"{table.path}: lines up to {line} are not the ones that were imported before from this "
        f"file ({table.source}): its earlier lines were changed. Import it as it was, with new "
        "rows only at its end, or put the new rows into a file of their own"
    )


def _rows(table: Table) -> Iterator[Row]:
    records = _records(table.path, table.delimiter)
    next(records, None)
    return rows(records, table.shape)


def _records(path: Path, delimiter: str | None) -> Iterator[CsvRecord]:
    with path.open("rb") as file:
        yield from csv_records(bounded_lines(file.readline), delimiter)


def in_order(tables: Iterable[Table]) -> list[Table]:
    """Licenses before the machines that are theirs."""
    return sorted(tables, key=lambda table: table.kind)


def check_apart(tables: Iterable[Table]) -> None:
    """Raise `ImportRefusedError` where one file is named twice."""
    seen: set[str] = set()
    for table in tables:
        if table.source and table.source in seen:
            raise ImportRefusedError(f"{table.path}: the same file is named twice")
        seen.add(table.source)
