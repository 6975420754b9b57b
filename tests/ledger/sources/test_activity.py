"""Pairing and counting, with no ledger involved: rules, the sample's and the real logs' tables."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ledger.sources.activity import Action, Activity, Broken, Pairing, Parser, Tally
from ledger.sources.activity_csv import CsvParser
from ledger.sources.flexlm import FlexlmParser

ROOT = Path(__file__).parents[3]
LOGS = ROOT.parent / "shared" / "data" / "flexlm"


def counted(path: Path, parser: Parser, **seats: int) -> tuple[Tally, Pairing]:
    """Count a whole file of which no line is broken."""
    tally, pairing = Tally(seats), Pairing()
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            parsed = parser(number, raw)
            assert not isinstance(parsed, Broken), parsed
            move = parsed and pairing.move(parsed)
            if move:
                tally.count(move)
    return tally, pairing


def table(text: str) -> dict[str, tuple[int, int, int]]:
    """The table in a README: checkouts, peak and left by feature."""
    rows = re.findall(
        r"^\|(?: \w+ \|)? (\w+) \| ([\d,]+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE
    )
    return {
        feature: (int(checkouts.replace(",", "")), int(peak), int(left))
        for feature, checkouts, peak, left in rows
    }


def told(tally: Tally) -> dict[str, tuple[int, int, int]]:
    """The same of what was counted."""
    return {name: (one.checkouts, one.peak, one.left) for name, one in tally.features.items()}


def activity(action: Action, *, seats: int = 1, user: str = "u", line: int = 1) -> Activity:
    """Something that happened to feature X at host h."""
    return Activity(
        line=line, at_ms=0, action=action, feature="X", user=user, host="h", seats=seats
    )


def test_each_concurrent_checkout_is_its_own_machine_and_a_return_ends_the_oldest() -> None:
    pairing = Pairing()
    actions: list[Action] = ["checkout", "checkout", "return", "checkout", "return", "return"]
    moves = [pairing.move(activity(action)) for action in actions]
    machines = [move.machine for move in moves if move]
    assert machines == ["u@h#1", "u@h#2", "u@h#1", "u@h#1", "u@h#2", "u@h#1"]


def test_a_return_without_its_checkout_is_counted_and_moves_nothing() -> None:
    pairing = Pairing()
    assert pairing.move(activity("return")) is None
    assert pairing.unmatched == 1


def test_denials_take_nothing_and_what_was_unsupported_is_none() -> None:
    pairing, tally = Pairing(), Tally()
    denial = pairing.move(activity("denied"))
    assert denial is not None
    assert denial.machine is None
    tally.count(denial)
    assert (tally.features["X"].denied, tally.features["X"].peak) == (1, 0)
    assert pairing.move(activity("unsupported")) is None


def test_seats_are_counted_not_machines() -> None:
    pairing, tally = Pairing(), Tally()
    for one in (activity("checkout", seats=5), activity("checkout", user="v"), activity("return")):
        move = pairing.move(one)
        assert move is not None
        tally.count(move)
    assert told(tally) == {"X": (2, 6, 1)}


def test_the_sample_gives_its_own_table() -> None:
    tally, pairing = counted(ROOT / "examples" / "activity.csv", CsvParser())
    expected = table((ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
    assert len(expected) == 3
    assert told(tally) == expected
    assert pairing.unmatched == 0


def test_the_real_logs_give_the_table_of_their_readme() -> None:
    if not LOGS.is_dir():
        pytest.skip(f"the real logs are not at {LOGS}: nothing of them was tested")
    expected = table((LOGS / "README.md").read_text(encoding="utf-8"))
    assert len(expected) == 6
    zone = ZoneInfo("Europe/Madrid")
    matlab, matlab_pairing = counted(LOGS / "matlab.log", FlexlmParser(zone))
    autodesk, autodesk_pairing = counted(LOGS / "autodesk.log", FlexlmParser(zone))
    said = told(matlab) | told(autodesk)
    assert {feature: said[feature] for feature in expected} == expected
    assert (len(matlab.features), len(autodesk.features)) == (35, 18)
    checkouts = [sum(one.checkouts for one in log.features.values()) for log in (matlab, autodesk)]
    assert checkouts == [10_007, 8_402]
    assert matlab_pairing.unmatched == autodesk_pairing.unmatched == 0


def test_the_real_log_with_300_seats() -> None:
    if not LOGS.is_dir():
        pytest.skip(f"the real logs are not at {LOGS}: nothing of them was tested")
    tally, _ = counted(LOGS / "matlab.log", FlexlmParser(), MATLAB=300)
    matlab = tally.features["MATLAB"]
    assert (matlab.refused, matlab.peak, matlab.left) == (19, 300, 28)
    assert matlab.never_granted == 19


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("yesterday,X,checkout,u,h,1", "column time, 'yesterday': it is RFC 3339 with an offset"),
        ("2022-06-09T08:00:00,X,checkout,u,h,1", "column time, '2022-06-09T08:00:00'"),
        ("2022-06-09T08:00:00Z,X,taken,u,h,1", "column action, 'taken'"),
        ("2022-06-09T08:00:00Z,,checkout,u,h,1", "column feature"),
        ("2022-06-09T08:00:00Z,X,checkout,u,h,0", "column seats, '0'"),
        ("2022-06-09T08:00:00Z,X,checkout,u,h,many", "column seats, 'many'"),
        ("2022-06-09T08:00:00Z,X,checkout,secret-user,h", "a row has 6 columns, this one 5"),
        ('2022-06-09T08:00:00Z,X,checkout,"secret-user,h,1', "it is no CSV"),
    ],
)
def test_a_bad_row_is_told_by_number_column_value_and_reason(row: str, reason: str) -> None:
    broken = CsvParser()(7, f"{row}\n".encode())
    assert isinstance(broken, Broken)
    assert broken.line == 7
    assert broken.reason.startswith(reason)
    assert "secret-user" not in broken.reason


def test_a_row_and_the_header() -> None:
    parser = CsvParser()
    assert parser(1, b"time,feature,action,user,host,seats\n") is None
    assert isinstance(CsvParser()(1, b"a,b\n"), Broken)
    assert parser(2, b'2022-06-09T10:00:00+02:00,X,return,"u, v",h,\n') == Activity(
        line=2, at_ms=1654761600000, action="return", feature="X", user="u, v", host="h", seats=1
    )


def test_a_return_ends_the_oldest_checkout_of_as_many_seats() -> None:
    pairing = Pairing()
    said = [("checkout", 1), ("checkout", 3), ("return", 3), ("return", 1)]
    moves = [pairing.move(activity(action, seats=seats)) for action, seats in said]  # type: ignore[arg-type]
    assert [move.machine for move in moves if move] == ["u@h#1", "u@h#2", "u@h#2", "u@h#1"]


def test_ten_thousand_checkouts_of_one_holder_are_paired() -> None:
    pairing = Pairing()
    for _ in range(10_000):
        pairing.move(activity("checkout"))
    last = pairing.move(activity("checkout"))
    assert last is not None
    assert last.machine == "u@h#10001"


@pytest.mark.parametrize(
    "when", ["9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z", "2022-W23-4"]
)
def test_a_time_that_no_event_can_hold_is_a_bad_row(when: str) -> None:
    broken = CsvParser()(2, f"{when},X,checkout,u,h,1\n".encode())
    assert isinstance(broken, Broken)
    assert broken.reason.startswith("column time")
