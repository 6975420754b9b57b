import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.drill.wording import day, duration, milliseconds, minutes, of, printable, share


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "\u2013"),
        (0, 1204, "0 %"),
        (1204, 1204, "100 %"),
        (9997, 10000, "> 99.9 %"),
        (9988, 10000, "99.9 %"),
        (1, 10000, "< 0.1 %"),
        (1, 200, "0.5 %"),
        (31, 120, "26 %"),
    ],
)
def test_a_share_is_rounded_but_never_to_none_or_all(part: int, whole: int, said: str) -> None:
    assert share(part, whole) == said


@given(
    st.integers(1, 10**6).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole)))
)
def test_only_none_is_0_percent_and_only_all_is_100(counted: tuple[int, int]) -> None:
    part, whole = counted
    said = share(part, whole)
    assert (said == "0 %") == (part == 0)
    assert (said == "100 %") == (part == whole)
    assert "0.0 %" not in said


def test_counts_have_separators_of_thousands() -> None:
    assert of(0, 1204) == "0 of 1,204"
    assert of(0, 0) == "\u2013"


def test_times_are_rounded_to_what_they_say() -> None:
    assert [milliseconds(value) for value in (None, 0.04, 9.44, 31.8, 2000.0)] == [
        "\u2013",
        "0.0",
        "9.4",
        "32",
        "2,000",
    ]
    assert [minutes(value) for value in (0, 0.016, 3.21, 1234.4)] == ["0", "< 0.1", "3.2", "1,234"]
    assert [duration(value) for value in (59.4, 131.4)] == ["59 s", "2 min 11 s"]


def test_a_moment_is_told_in_utc() -> None:
    said = "5 November 2026, 08:00 UTC"
    assert day("2026-11-05T08:00:12Z") == day("2026-11-05T09:00:12+01:00") == said
    assert day("2026-11-05T08:00:12") == said


def test_text_of_others_is_one_line_without_control_characters() -> None:
    assert printable("ERROR:  a\n\tb\x1b[31m") == "ERROR: a b\ufffd[31m"
