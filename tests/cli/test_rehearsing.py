"""What people are told of a rehearsal: numbers, licenses, both forms."""

from __future__ import annotations

import pytest

from cli.rehearsing.showing import document, print_rehearsed
from ledger.domain.verdicts import Verdict
from projector.rehearsal.changes import Change, Compared, Kind, Rehearsed
from projector.views.documents import Head, verdict_document

ONE, OTHER = (f"11111111-2222-8333-8444-55555555500{n}" for n in range(2))
GRANTED = verdict_document(
    Verdict(
        code="granted",
        offset=7,
        time_ms=1_650_000_000_000,
        content_digest="00" * 16,
        seats_held=3,
        limit=5,
        epoch=1,
    )
)


def change(
    kind: Kind, before: bytes | None, after: bytes | None, *, license_: str = ONE, id_: str = "x"
) -> Change:
    return Change(partition=3, license=license_, kind=kind, id=id_, before=before, after=after)


def found(*changes: Change, apart: bool = False) -> Rehearsed:
    compared = Compared(
        partition=3,
        head=Head(position=9),
        verdicts=4_100,
        licenses=12,
        machines=40,
        changes=changes,
        apart=apart,
    )
    return Rehearsed(partitions=[compared])


def test_nothing_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_rehearsed(found(), limit=20)
    assert capsys.readouterr().out == "Changes 0 of 4,100 verdicts, 0 of 12 licenses.\n"


def test_each_kind_is_told_with_both_forms(capsys: pytest.CaptureFixture[str]) -> None:
    fewer = GRANTED.replace(b'"seats_held":3', b'"seats_held":2')
    refused = GRANTED.replace(b"granted", b"expired")
    print_rehearsed(
        found(
            change("verdict", GRANTED, fewer, id_="c1"),
            change("verdict", GRANTED, refused, id_="c2"),
            change("verdict", None, GRANTED, id_="c3"),
            change("license", b'{"uses":1}', b'{"limit":null,"uses":1}', id_=ONE),
            change("machine", b'{"seats":1}', None, license_=OTHER, id_="m"),
            change("license", b"no document", b"{}", license_=OTHER, id_=OTHER),
        ),
        limit=20,
    )
    assert capsys.readouterr().out.splitlines() == [
        "Changes 3 of 4,100 verdicts, 2 of 12 licenses.",
        f"license {ONE}, partition 3:",
        "  verdict of command c1 at 2022-04-15T05:20:00.000Z: granted → granted (seats_held 3 → 2)",
        "  verdict of command c2 at 2022-04-15T05:20:00.000Z: granted → expired",
        "  verdict of command c3 at 2022-04-15T05:20:00.000Z: none → granted",
        "  state: limit none → null",
        '    before: {"uses":1}',
        '    after:  {"limit":null,"uses":1}',
        f"license {OTHER}, partition 3:",
        "  machine m: not on both sides",
        '    before: {"seats":1}',
        "    after:  none",
        "  state: can't be read",
        "    before: no document",
        "    after:  {}",
    ]


def test_what_is_not_shown_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [change("license", None, b"{}", license_=each, id_=each) for each in (ONE, OTHER)]
    print_rehearsed(found(*changes), limit=1)
    shown = capsys.readouterr()
    assert ONE in shown.out
    assert OTHER not in shown.out
    assert "licenses not shown: 1" in shown.err
    told = document(found(*changes), rules=2, replica=None)
    assert [one["license"] for one in told["changes"]] == [ONE, OTHER]


def test_digests_that_differ_alone_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_rehearsed(found(apart=True), limit=20)
    assert "partition 3: its digest differs" in capsys.readouterr().out
    assert document(found(apart=True), rules=None, replica="A")["apart"] == [3]
    assert not found(apart=True).same


def test_a_verdict_that_can_not_be_read_has_no_time() -> None:
    assert change("verdict", b"no document", GRANTED).time_ms is None
