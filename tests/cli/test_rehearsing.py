"""What people are told of a rehearsal: numbers, licenses, both forms."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from cli.rehearsing.showing import print_document, print_rehearsed
from ledger.domain.verdicts import Verdict
from projector.rehearsal.changes import Change, Compared, Kind, Rehearsed
from projector.rehearsal.spool import IN_MEMORY_BYTES, Spool
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
    return rehearsed(Spool(changes), apart=apart)


def rehearsed(changes: Spool, *, apart: bool = False) -> Rehearsed:
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
    print_document(found(*changes), rules=2, replica=None)
    text = capsys.readouterr().out
    told = json.loads(text)
    assert [one["license"] for one in told["changes"]] == [ONE, OTHER]
    assert (told["rules"], told["replica"], told["changed_licenses"]) == (2, None, 2)
    assert text == json.dumps(told, indent=2, ensure_ascii=False) + "\n", "as every document"


def test_digests_that_differ_alone_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_rehearsed(found(apart=True), limit=20)
    assert "partition 3: its digest differs" in capsys.readouterr().out
    print_document(found(apart=True), rules=None, replica="A")
    text = capsys.readouterr().out
    assert (json.loads(text)["apart"], json.loads(text)["changes"]) == ([3], [])
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    assert not found(apart=True).same


def test_a_verdict_that_can_not_be_read_has_no_time() -> None:
    assert change("verdict", b"no document", GRANTED).time_ms is None


def test_what_differs_is_read_back_as_it_was() -> None:
    changes = [
        change("verdict", None, b"x" * number, id_=str(number), license_=f"license-{number % 7}")
        for number in range(700)
    ]
    spool = Spool(changes)
    assert sum(len(one.after or b"") for one in changes) > IN_MEMORY_BYTES, "there is a file"
    assert [*spool] == [*spool] == changes
    assert (len(spool), spool.verdicts, len(spool.licenses)) == (700, 700, 7)
    both = zip(spool, spool, strict=True)
    assert all(one == other for one, other in both), "two may read at once"


def test_memory_does_not_grow_with_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        form = json.dumps({"text": "x" * 2_000}).encode()
        spool = Spool(change("license", form, None, id_=ONE) for _ in range(count))
        assert len(spool) == count
        print_rehearsed(rehearsed(spool), limit=0)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    few, many = peak(300), peak(3_000)
    assert "licenses not shown" in capsys.readouterr().err
    assert many < 2 * few
