"""Who prefers an answer before the verdict, by the headers of the request (RFC 7240)."""

from __future__ import annotations

import pytest

from api.pending import prefers_async


@pytest.mark.parametrize(
    "lines",
    [
        ["respond-async"],
        ["Respond-Async"],
        ['respond-async=""'],
        ["  respond-async\t"],
        ["return=minimal, respond-async"],
        ["respond-async;wait=10"],
        ['respond-async ; note = "a, \\" b" ;; x, wait=5'],
        [", ,respond-async,"],
        ["return=minimal", "respond-async"],
        ["wait=100, respond-async, respond-async=no"],
    ],
)
def test_who_prefers_an_answer_before_the_verdict(lines: list[str]) -> None:
    assert prefers_async([(b"prefer", line.encode()) for line in lines])


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["return=minimal"],
        ["respond-asynchronously"],
        ["no-respond-async"],
        ["respond-async=yes"],
        ["respond-async=no, respond-async"],
        ['note="respond-async"'],
        ["wait=10;respond-async"],
        ["respond-async return=minimal"],
        ["respond-async;="],
        ['respond-async, note="open'],
        ["respond-async, ä"],
        ["respond-async\x00"],
    ],
)
def test_what_is_not_of_the_standard_s_form_prefers_nothing(lines: list[str]) -> None:
    assert not prefers_async([(b"prefer", line.encode()) for line in lines])
    assert not prefers_async([(b"x-prefer", b"respond-async")])


def test_a_long_preference_takes_no_time() -> None:
    for text in (";" * 16_000, " " * 16_000, "a;" * 8_000, 'a="' + "\\a" * 8_000, "a=" * 8_000):
        assert not prefers_async([(b"prefer", text.encode())])
