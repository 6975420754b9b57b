"""A vendor's export read: each form that it comes in, and each thing that can be wrong with it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.sources.csv_records import LINES_MAX, CsvRecord, NotUtf8Error, csv_records
from ledger.sources.lines import LINE_BYTES_MAX
from ledger.sources.vendor_csv import (
    BadRow,
    HeaderError,
    Kind,
    LicenseRow,
    MachineRow,
    rows,
    shape,
)

SECRET = "KEY-SECRET-0001"


def records(content: str | bytes) -> list[CsvRecord]:
    raw = content.encode() if isinstance(content, str) else content
    return list(csv_records(raw.splitlines(keepends=True)))


def said(content: str, kind: Kind | None = None) -> list[LicenseRow | MachineRow | BadRow]:
    header, *rest = records(content)
    return [row.said for row in rows(rest, shape(header, kind))]


def bad(content: str) -> BadRow:
    [found] = [one for one in said(content) if isinstance(one, BadRow)]
    return found


text = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), max_size=12)


@given(
    table=st.lists(st.lists(text, min_size=2, max_size=4), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t"),
)
def test_what_a_csv_writer_writes_is_read_as_it_was(table: list[list[str]], delimiter: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(table)
    lines = out.getvalue().encode().split(b"\n")
    raw = [line + b"\n" for line in lines[:-1]]
    found = list(csv_records(raw, delimiter))
    assert [list(one.fields) for one in found] == table
    assert b"".join(one.raw for one in found) == b"".join(raw)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_marks_and_line_ends_are_found(delimiter: str, start: str, end: str) -> None:
    head = delimiter.join(("key", "Max Machines", "expiry", "metadata.Order"))
    row = delimiter.join((SECRET, "3", "2030-12-31", "4711"))
    [found] = said(f"{start}{head}{end}{row}")
    assert isinstance(found, LicenseRow)
    assert (found.key, found.max_machines, found.metadata) == (SECRET, 3, '{"Order":"4711"}')
    # Good through that day.
    assert found.expiry_ms == 1_924_992_000_000


def test_a_machine_is_told_by_its_header() -> None:
    content = "License Key,fingerprint,hostname,activatedAt\nKEY-1,fp,h,2024-05-05T10:00:00+02:00\n"
    [found] = said(content)
    assert isinstance(found, MachineRow)
    assert (found.license, found.fingerprint, found.seats) == ("KEY-1", "fp", 1)
    assert found.activated_ms == 1_714_896_000_000
    assert said("key,fingerprint\nKEY-1,fp\n") == said("license,fingerprint\nKEY-1,fp\n")


def test_a_field_may_hold_line_breaks_and_lines_are_numbered_by_their_first() -> None:
    content = f'key,name\n{SECRET},"a\nb; c"\n\nKEY-0002,x\nno,y\n'
    first, second, third = said(content)
    assert isinstance(first, LicenseRow)
    assert first.name == "a\nb; c"
    assert isinstance(second, LicenseRow)
    assert isinstance(third, BadRow)
    assert third.line == 6


@pytest.mark.parametrize("lines_after", [0, 3, LINES_MAX + 5])
def test_a_quote_that_is_never_closed_takes_its_own_line_only(lines_after: int) -> None:
    after = "".join(f"KEY-{number:04d},x\n" for number in range(lines_after))
    found = said(f'key,name\nKEY-BAD,"x\n{after}')
    assert isinstance(found[0], BadRow)
    assert "never closed" in found[0].reason
    assert [isinstance(one, LicenseRow) for one in found[1:]] == [True] * lines_after


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (f"{SECRET},x,,,", "max_machines", "whole number"),
        (f"{SECRET},0,,,", "max_machines", "from 1"),
        (f"{SECRET},99999999999,,,", "max_machines", "whole number"),
        (f"{SECRET},1,31/12/2030,,", "expiry", "2030-12-31"),
        (f"{SECRET},1,2030-02-30,,", "expiry", "2030-12-31"),
        (f"{SECRET},1,2030-12-31T08:00:00,,", "expiry", "2030-12-31"),
        (f"{SECRET},1,9999-12-31,,", "expiry", "2030-12-31"),
        (f"{SECRET},1,,perhaps,", "suspended", "true or false"),
        (",1,,,", "key", "empty"),
        ("  ,1,,,", "key", "empty"),
        (f"{SECRET} ,1,,,", "key", "spaces"),
        ("short,1,,,", "key", "at least 6"),
        ("é" * 300 + ",1,,,", "key", "512 bytes"),
        (f"{SECRET},1,,," + "x" * 513, "name", "512 characters"),
        (f"{SECRET},1,,", None, "4 columns, the header 5"),
    ],
)
def test_a_bad_row_is_told_with_column_and_reason_and_no_key(
    row: str, column: str | None, reason: str
) -> None:
    found = bad(f"key,max_machines,expiry,suspended,name\nKEY-GOOD,1,,,\n{row}\n")
    assert (found.line, found.column) == (3, column)
    assert reason in found.reason
    shown = repr(found)
    assert SECRET not in shown
    assert "short" not in shown


@pytest.mark.parametrize("column", ["license", "fingerprint", "hostname", "name"])
def test_nothing_personal_of_a_machine_is_shown(column: str) -> None:
    given = {"license": "KEY-1", "fingerprint": "fp", "hostname": "h", "name": "n"}
    given[column] = " secret-word" if column in {"license", "fingerprint"} else "secret-word" * 99
    content = f"{','.join(given)}\n{','.join(given.values())}\n"
    assert bad(content).column == column
    assert "secret-word" not in repr(bad(content))
    assert "secret-word" not in repr(records(content))


def test_of_two_rows_of_one_thing_the_first_is_taken() -> None:
    found = bad(f"key\n{SECRET}\nKEY-OTHER\n{SECRET}\n")
    assert (found.line, found.column) == (4, "key")
    assert "line 2" in found.reason
    machines = "license,fingerprint\nA,x\nB,x\nA,y\nA,x\n"
    assert bad(machines).line == 5


def test_metadata_has_its_limit() -> None:
    line = "x" * 9_000
    found = bad(f'key,metadata.a\n{SECRET},"{line}\n{line}"\n')
    assert found.column == "metadata"


def test_a_line_that_is_too_long_is_bad_and_the_next_is_not() -> None:
    first, second = said(f"key,name\n{SECRET},{'x' * (LINE_BYTES_MAX + 1)}\nKEY-0002,y\n")
    assert isinstance(first, BadRow)
    assert "bytes" in first.reason
    assert isinstance(second, LicenseRow)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("name,expiry", "has the column key"),
        ("fingerprint,seats", "has the column license"),
        ("key,hue", "keep it as metadata.hue"),
        ("license,fingerprint,metadata.x", "rename it, leave it out"),
        ("key,name,Name", "twice"),
        ("", "no header"),
    ],
)
def test_a_header_that_is_neither_is_refused_with_the_way_out(header: str, told: str) -> None:
    with pytest.raises(HeaderError) as raised:
        shape(CsvRecord(line=1, raw=b"", fields=tuple(filter(None, header.split(",")))))
    assert told in str(raised.value)


def test_the_kind_can_be_said_and_a_remark_may_stand_beside() -> None:
    [found] = said(f"key,error\n{SECRET},was bad\n", "licenses")
    assert isinstance(found, LicenseRow)
    with pytest.raises(HeaderError, match="fingerprint"):
        said(f"key,error\n{SECRET},x\n", "machines")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("key,name\nKEY-0001,é\n".encode("latin-1"), "line 2 is not UTF-8"),
        ("key,name\nKEY-0001,é\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_another_encoding_is_refused_with_the_command_that_helps(content: bytes, told: str) -> None:
    with pytest.raises(NotUtf8Error, match="iconv") as raised:
        records(content)
    assert told in str(raised.value)
