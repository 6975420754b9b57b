"""The rules of FlexLM debug logs, on small logs made by hand and on arbitrary bytes."""

from __future__ import annotations

import io
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.clocks import rfc3339
from ledger.domain.identifiers import Pepper
from ledger.sources.activity import Activity, Broken
from ledger.sources.flexlm import FlexlmParser
from ledger.sources.lines import LINE_BYTES_MAX, PrefixDigest, bounded_lines, source_of

PEPPER = Pepper(b"p" * 32)
STARTED = b"10:25:31 (lmgrd) FlexNet Licensing (v11) started on srv (IBM PC) (6/9/2022)\n"
OUT = b'10:25:38 (MLM) OUT: "MATLAB" user0001@host0001  \n'


def read(*lines: bytes, zone: str = "UTC") -> list[Activity | Broken]:
    """What a log of these lines says, after a start line."""
    parser = FlexlmParser(ZoneInfo(zone))
    parsed = [parser(number, raw) for number, raw in enumerate((STARTED, *lines), start=1)]
    return [one for one in parsed if one is not None]


def one(line: bytes, zone: str = "UTC") -> Activity:
    """The only activity of a log of one line."""
    (activity,) = read(line, zone=zone)
    assert isinstance(activity, Activity), activity
    return activity


def test_a_checkout_takes_one_seat_where_no_count_stands() -> None:
    assert one(OUT) == Activity(
        line=2,
        at_ms=1654770338000,
        action="checkout",
        feature="MATLAB",
        user="user0001",
        host="host0001",
        seats=1,
    )


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("OUT", "checkout"),
        ("IN", "return"),
        ("DENIED", "denied"),
        ("UNSUPPORTED", "unsupported"),
    ],
)
def test_the_four_words(word: str, action: str) -> None:
    assert one(f'10:25:38 (MLM) {word}: "X" u@h\n'.encode()).action == action


def test_a_count_of_licenses() -> None:
    assert one(b'10:25:38 (MLM) OUT: "X" u@h  (12 licenses)\n').seats == 12
    assert one(b'10:25:38 (MLM) OUT: "X" u@h  (1 license)\n').seats == 1


def test_a_denial_with_count_and_reason() -> None:
    line = b'10:25:38 (MLM) DENIED: "X" u@h  (2 licenses) (Users are queued (-35,10))\n'
    denial = one(line)
    assert (denial.seats, denial.reason) == (2, "Users are queued (-35,10)")


def test_a_version_before_the_user_is_none_of_it() -> None:
    line = b'10:25:38 (MLM) UNSUPPORTED: "X" (00B0 EF6E ) u@h  (No such feature (-5,346))\n'
    assert (one(line).user, one(line).host) == ("u", "h")


def test_a_user_is_all_up_to_the_last_at_and_may_hold_spaces() -> None:
    said = one(b'10:25:38 (MLM) OUT: "X" Ann Lee@corp@host-1\n')
    assert (said.user, said.host) == ("Ann Lee@corp", "host-1")


def test_a_shutdown_is_a_return() -> None:
    assert one(b'10:25:38 (MLM) IN: "X" u@h  (SHUTDOWN)\n').action == "return"


def test_a_time_more_than_twelve_hours_before_is_the_next_day() -> None:
    late, early, later = read(
        b'23:59:59 (MLM) OUT: "X" u@h\n',
        b' 0:00:01 (other) OUT: "X" u@h\n',
        b'13:00:00 (MLM) OUT: "X" u@h\n',
    )
    times = [rfc3339(said.at_ms) for said in (late, early, later) if isinstance(said, Activity)]
    assert [time[8:19] for time in times] == ["09T23:59:59", "10T00:00:01", "10T13:00:00"]


def test_a_time_a_little_before_is_the_same_day() -> None:
    _, said = read(OUT, b'10:20:00 (other) OUT: "X" u@h\n')
    assert isinstance(said, Activity)
    assert rfc3339(said.at_ms) == "2022-06-09T10:20:00.000Z"


def test_a_timestamp_line_sets_the_day() -> None:
    said = read(b"11:00:00 (lmgrd) TIMESTAMP 6/30/2022\n", b'11:00:01 (MLM) OUT: "X" u@h\n')[0]
    assert isinstance(said, Activity)
    assert rfc3339(said.at_ms) == "2022-06-30T11:00:01.000Z"


def test_the_slog_start_date_says_the_day_too() -> None:
    parser = FlexlmParser()
    slog = b"10:25:31 (lmgrd) (@lmgrd-SLOG@) Start-Date: Thu Jun 09 2022 10:25:31 CEST\n"
    assert parser(1, slog) is None
    said = parser(2, OUT)
    assert isinstance(said, Activity)
    assert rfc3339(said.at_ms)[:10] == "2022-06-09"


def test_the_time_zone_moves_the_moment_and_a_doubled_hour_is_its_first() -> None:
    assert rfc3339(one(OUT, zone="Europe/Madrid").at_ms) == "2022-06-09T08:25:38.000Z"
    said = read(
        b" 1:00:00 (lmgrd) TIMESTAMP 10/30/2022\n",
        b' 2:30:00 (MLM) OUT: "X" u@h\n',
        zone="Europe/Madrid",
    )[0]
    assert isinstance(said, Activity)
    assert rfc3339(said.at_ms) == "2022-10-30T00:30:00.000Z"


@pytest.mark.parametrize(
    "chatter",
    [
        b"10:25:35 (MLM) SERVER-OUT: Failed to send the message(71) <END>\n",
        b"10:25:35 (lmgrd) Done rereading\n",
        b"10:25:35 (MLM) (@MLM-SLOG@) === Network Info ===\n",
        b"\n",
        b"no time at all\n",
    ],
)
def test_chatter_is_about_nothing(chatter: bytes) -> None:
    assert read(chatter) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'10:25:38 (MLM) OUT: "X" nobody\n', 'OUT "X", user@host: there is none'),
        (b"10:25:38 (MLM) IN: X u@h\n", 'IN is not followed by "FEATURE" user@host'),
        (b'10:61:38 (MLM) OUT: "X" u@h\n', "an event is not right behind H:MM:SS (daemon)"),
        (b'(MLM) OUT: "X" u@h\n', "an event is not right behind H:MM:SS (daemon)"),
        (
            b'10:25:38 (MLM) OUT: "X" u@h (0 licenses)\n',
            f'OUT "X", count: it is from 1 to {2**31 - 1}',
        ),
        (
            b'10:25:38 (MLM) OUT: "X" ' + b"u" * 300 + b"@h\n",
            'OUT "X", user: it has 1 to 240 bytes',
        ),
        (b'10:25:38 (MLM) OUT: "X" u@h ' + b" " * 20_000, "the line has over 16384 bytes"),
    ],
)
def test_a_broken_line_is_told_by_number_and_reason(line: bytes, reason: str) -> None:
    assert read(line) == [Broken(line=2, reason=reason)]


def test_an_event_before_any_day_is_broken() -> None:
    broken = FlexlmParser()(1, OUT)
    assert broken == Broken(line=1, reason="no line before it says which day it is")


def test_ends_of_line_and_odd_bytes_change_nothing() -> None:
    assert one(OUT[:-1] + b"\r\n") == one(OUT)
    assert one(b'10:25:38 (MLM) OUT: "X" \xff\xfe@h\n').host == "h"


@given(st.lists(st.binary(max_size=200) | st.just(OUT)))
def test_it_never_raises_and_a_grown_copy_says_the_same_of_its_beginning(
    lines: list[bytes],
) -> None:
    whole = read(*lines)
    half = read(*lines[: len(lines) // 2])
    assert whole[: len(half)] == half


def test_a_digest_of_the_prefix_tells_a_changed_line_whatever_the_end_of_line() -> None:
    digests = [PrefixDigest(Pepper(b"p" * 32)) for _ in range(3)]
    for digest, second in zip(digests, (OUT, OUT[:-1] + b"\r\n", OUT.upper()), strict=True):
        digest.add(STARTED)
        digest.add(second)
    assert digests[0].value == digests[1].value != digests[2].value
    other = PrefixDigest(Pepper(b"q" * 32))
    other.add(STARTED)
    other.add(OUT)
    assert other.value != digests[0].value


def test_a_source_is_named_by_its_head() -> None:
    assert source_of("flexlm", [STARTED, OUT], PEPPER) == source_of(
        "flexlm", [STARTED, OUT[:-1]], PEPPER
    )
    assert source_of("flexlm", [STARTED, OUT], PEPPER) != source_of("flexlm", [STARTED], PEPPER)


def test_an_at_in_the_reason_is_nobodys() -> None:
    denial = one(b'10:25:38 (MLM) DENIED: "X" ann@pc  (ask admin@site.org (room 4) now)\n')
    assert (denial.user, denial.host, denial.reason) == ("ann", "pc", None)


def test_a_reason_that_names_the_user_or_the_host_is_not_kept() -> None:
    for reason in (b"ANN is not on the list", b"no seat for pc", b"CORP\\ann is queued"):
        denial = one(b'10:25:38 (MLM) DENIED: "X" ann@pc  (' + reason + b")\n")
        assert denial.reason is None
    kept = one(b'10:25:38 (MLM) DENIED: "X" ann@pc  (annual limit reached)\n')
    assert kept.reason == "annual limit reached"


def test_a_count_in_the_reason_is_no_count() -> None:
    said = one(b'10:25:38 (MLM) DENIED: "X" u@h  (Licensed number (4 licenses) is reached)\n')
    assert said.seats == 1


@pytest.mark.parametrize(
    "torn",
    [
        b'10:25:38 (MLM) OUT: "X" ann@1 10:25:39 (MLM) OUT: "Y" bob@h\n',
        b'10:25:38 (MLM) SERVER 10:25:39 (MLM) OUT: "Y" bob@h\n',
        b'10:25:38 (MLM) OUT: "X" ann@h and more\n',
    ],
)
def test_lines_torn_into_one_another_are_broken_and_name_nobody(torn: bytes) -> None:
    (broken,) = read(torn)
    assert isinstance(broken, Broken)
    assert not any(name in broken.reason for name in ("ann", "bob"))


def test_users_whose_names_are_in_another_code_page_stay_two() -> None:
    users = {one(b'10:25:38 (MLM) OUT: "X" Jos' + e + b"@h\n").user for e in (b"\xe9", b"\xe8")}
    assert users == {"Jos\u00e9", "Jos\u00e8"}


def test_a_machines_name_is_never_longer_than_a_fingerprint() -> None:
    long = "\u00e9" * 200
    (broken,) = read(f'10:25:38 (MLM) OUT: "X" {long}@{long}\n'.encode())
    assert isinstance(broken, Broken)


@pytest.mark.parametrize("day", ["12/31/9999", "12/31/2999", "1/1/1960", "13/45/2022"])
def test_a_day_out_of_all_reason_ends_nothing(day: str) -> None:
    said = read(f"23:00:00 (lmgrd) TIMESTAMP {day}\n".encode(), b' 1:00:00 (MLM) OUT: "X" u@h\n')
    assert len(said) == 1
    assert isinstance(said[0], Broken) or said[0].at_ms > 0


def test_a_control_character_is_no_name() -> None:
    (broken,) = read(b'10:25:38 (MLM) OUT: "X\x1b[2J" u@h\n')
    assert isinstance(broken, Broken)
    assert "\x1b" not in broken.reason


def test_what_is_read_shows_neither_user_nor_host() -> None:
    assert "user0001" not in repr(one(OUT))
    assert "host0001" not in repr(one(OUT))


def test_a_line_without_end_is_never_whole_in_memory() -> None:
    long = b"x" * (5 * LINE_BYTES_MAX)
    file = io.BytesIO(OUT + long + b"\n" + OUT + long[:-1] + b"y\n" + OUT[:-1])
    lines = list(bounded_lines(file.readline))
    assert [lines[0], lines[2], lines[4]] == [OUT, OUT, OUT[:-1]]
    assert all(LINE_BYTES_MAX < len(line) < LINE_BYTES_MAX + 100 for line in (lines[1], lines[3]))
    assert lines[1] != lines[3]
    assert lines[1].endswith(b"\n")
