"""Requests counted by second and by phase."""

from __future__ import annotations

from cli.drill.clients import Asked
from cli.drill.outcome import Phase, PhaseName, Second
from cli.drill.tally import figures, seconds


def launch(
    at_s: float,
    *,
    ok: bool = True,
    started: bool | None = None,
    client: str = "free",
    ms: float = 1,
) -> Asked:
    return Asked(
        at_s=at_s,
        launch=True,
        client=client,
        ok=ok,
        started=ok if started is None else started,
        answer="200 VALID" if ok else "timeout",
        took_ms=ms,
    )


def activation(at_s: float, *, ok: bool = True) -> Asked:
    return Asked(
        at_s=at_s,
        launch=False,
        client="paid",
        ok=ok,
        started=ok,
        answer="201" if ok else "500",
        took_ms=5,
    )


ASKED = [
    launch(0.1, ms=4),
    launch(0.9, ok=False, ms=2000),
    launch(2.0, ok=False, started=True, client="paid", ms=2000),
    activation(2.5),
    activation(2.99, ok=False),
    launch(3.2),
]


def test_each_second_has_what_was_sent_in_it() -> None:
    assert seconds(ASKED, 3.1) == [
        Second(at_s=0, launches=2, started=1, free=2, free_started=1, checks_failed=1),
        Second(at_s=1),
        Second(at_s=2, launches=1, started=1, checks_failed=1, activations=2, activated=1),
        Second(at_s=3, launches=1, started=1, free=1, free_started=1),
    ]
    assert len(seconds(ASKED, 3.0)) == 3, "what was sent after the end doesn't count"


def test_a_phase_has_what_was_sent_from_its_begin_and_before_its_end() -> None:
    phase = Phase(name=PhaseName.LOCK, title="", about="", from_s=0.9, to_s=2.99)
    found = figures(ASKED, phase)
    assert (found.checks, found.checks_failed, found.started) == (2, 2, 1)
    assert (found.activations, found.activations_failed) == (1, 0)
    assert (found.check_p50_ms, found.check_p99_ms) == (2000, 2000)
    assert found.activation_p99_ms == 5
    assert found.answers == {"timeout": 2, "201": 1}


def test_where_nothing_was_sent_there_are_no_latencies() -> None:
    phase = Phase(name=PhaseName.DEATH, title="", about="", from_s=10, to_s=20)
    found = figures(ASKED, phase)
    assert (found.checks, found.check_p50_ms, found.activation_p99_ms) == (0, None, None)


def test_one_slow_answer_of_a_hundred_is_the_99th_percentile() -> None:
    asked = [launch(n / 1000, ms=900 if n == 7 else n / 100) for n in range(100)]
    phase = Phase(name=PhaseName.HEALTHY, title="", about="", from_s=0, to_s=1)
    assert figures(asked, phase).check_p99_ms == 900
    assert (figures(asked, phase).check_p50_ms or 0) < 1
