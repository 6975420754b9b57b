"""Records of a CSV file: quoted fields may hold line breaks; what is broken takes one line along.

A quote that is never closed would swallow the rest of the file: after `LINES_MAX` lines, or at the
end, its first line alone is broken, and the reading goes on right behind it.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from ledger.sources.lines import LINE_BYTES_MAX

LINES_MAX: Final = 50
DELIMITERS: Final = (",", ";", "\t")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class NotUtf8Error(Exception):
    """The file is in another encoding than UTF-8; the text says what to do."""


class CsvRecord(Struct, frozen=True, kw_only=True):
    """The record that begins in line `line` (from 1). `fields` empty: a blank line, or `trouble`.

    `raw`: its bytes, all lines of it.
    """

    line: int
    raw: bytes
    fields: tuple[str, ...] = ()
    trouble: str = ""

    def __repr__(self) -> str:
        """Say where, never what: fields hold keys and names."""
        return f"CsvRecord(line={self.line}, fields={len(self.fields)}, trouble={self.trouble!r})"


def csv_records(lines: Iterable[bytes], delimiter: str | None = None) -> Iterator[CsvRecord]:
    """Yield the records of a file's lines; each line is in the `raw` of exactly one of them.

    `delimiter` None: the one that the first record has most of. Raises `NotUtf8Error`.
    """
    source, ahead, number = iter(lines), deque[bytes](), 0
    while True:
        taken: list[bytes] = []
        whole = False
        while not whole and len(taken) < LINES_MAX:
            raw = ahead.popleft() if ahead else next(source, None)
            if raw is None:
                break
            taken.append(raw)
            whole = len(raw) > LINE_BYTES_MAX or not sum(one.count(b'"') for one in taken) % 2
        if not taken:
            return
        if not whole:
            ahead.extendleft(reversed(taken[1:]))
            del taken[1:]
        line, raw = number + 1, b"".join(taken)
        number += len(taken)
        if not whole:
            yield CsvRecord(line=line, raw=raw, trouble="a quote in it is never closed")
        elif any(len(one) > LINE_BYTES_MAX for one in taken):
            yield CsvRecord(line=line, raw=raw, trouble=f"it has over {LINE_BYTES_MAX} bytes")
        else:
            text = _text(raw, line)
            if delimiter is None:
                delimiter = max(DELIMITERS, key=text.count)
            yield _record(line, raw, text, delimiter)


def _record(line: int, raw: bytes, text: str, delimiter: str) -> CsvRecord:
    try:
        fields = next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        return CsvRecord(line=line, raw=raw, trouble=f"it is no CSV: {error}")
    return CsvRecord(line=line, raw=raw, fields=tuple(fields))


def _text(raw: bytes, line: int) -> str:
    if line == 1 and raw.startswith(_UTF16):
        raise NotUtf8Error("it is UTF-16: save it as CSV in UTF-8, or iconv -f UTF-16 -t UTF-8")
    try:
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError:
        raise NotUtf8Error(
            f"line {line} is not UTF-8 (Latin-1, Windows?): save it in UTF-8, or "
            "iconv -f WINDOWS-1252 -t UTF-8"
        ) from None
    return text.rstrip("\r\n")
