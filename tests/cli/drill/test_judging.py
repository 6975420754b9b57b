from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.drill.judging import judge
from cli.drill.outcome import Figures, PhaseName, Verdict
from tests.cli.drill.outcomes import figures, phases_of

REQUIRED = [PhaseName.LOCK, PhaseName.HANG, PhaseName.DEATH]
HELD = [figures(name) for name in PhaseName]


def failed(*changed: Figures) -> list[Figures]:
    """A naive service that fails as it must, but for what is `changed`."""
    usual = {
        name: figures(name, checks=120, checks_failed=49, activations=10, activations_failed=5)
        for name in PhaseName
    }
    return list((usual | {one.phase: one for one in changed}).values())


def judged(
    naive: Sequence[Figures], ledger: Sequence[Figures] = HELD, *, disk: bool = True
) -> Verdict:
    return judge(phases_of(disk=disk), naive=naive, ledger=ledger)


@pytest.mark.parametrize("disk", [True, False])
def test_a_naive_service_that_fails_and_a_ledger_that_does_not_pass(disk: bool) -> None:  # noqa: FBT001
    verdict = judged(failed(), disk=disk)
    assert verdict == Verdict(proves=True, held=True, reasons=[])
    assert verdict.passed


def test_too_few_failed_checks_prove_nothing() -> None:
    verdict = judged(failed(figures(PhaseName.LOCK, checks=120, checks_failed=31)))
    assert not verdict.proves
    assert verdict.held
    assert verdict.reasons == [
        (
            "the naive service failed 31 of 120 checks while the table was locked "
            "(26 %, more than 40 % is needed): this drill proves nothing"
        )
    ]


@pytest.mark.parametrize("name", REQUIRED)
def test_40_percent_of_checks_is_not_enough_and_one_more_is(name: PhaseName) -> None:
    assert not judged(failed(figures(name, checks=1000, checks_failed=400))).proves
    assert judged(failed(figures(name, checks=1000, checks_failed=401))).proves


def test_on_a_full_disk_activations_have_to_fail_and_checks_need_not() -> None:
    full = figures(PhaseName.DISK_FULL, checks_failed=0, activations=10, activations_failed=4)
    verdict = judged(failed(full))
    assert not verdict.proves
    assert "4 of 10 activations while the disk was full" in verdict.reasons[0]
    enough = figures(PhaseName.DISK_FULL, checks_failed=0, activations=10, activations_failed=5)
    assert judged(failed(enough)).proves


def test_a_skipped_disk_asks_for_nothing() -> None:
    nothing = figures(PhaseName.DISK_FULL, checks=0, activations=0)
    assert not judged(failed(nothing)).proves
    assert judged(failed(nothing), disk=False).reasons == []


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("side", ["naive service", "ledger"])
def test_where_nothing_was_sent_nothing_is_proved(name: PhaseName, side: str) -> None:
    nothing = figures(name, checks=0)
    if side == "ledger":
        verdict = judged(failed(), [one if one.phase is not name else nothing for one in HELD])
    else:
        verdict = judged(failed(nothing))
    assert not verdict.proves
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith(f"no checks were sent to the {side} ")


def test_phases_that_nobody_measured_prove_nothing() -> None:
    verdict = judge([], naive=[], ledger=[])
    assert not verdict.passed
    assert len(verdict.reasons) == 2 * (len(REQUIRED) + 1)


@pytest.mark.parametrize("name", list(PhaseName))
@pytest.mark.parametrize("kind", ["checks", "activations"])
def test_one_failure_in_any_phase_is_too_much_for_the_ledger(name: PhaseName, kind: str) -> None:
    one = figures(name, **{kind: 1204, f"{kind}_failed": 1})
    verdict = judged(failed(), [usual if usual.phase is not name else one for usual in HELD])
    assert verdict.proves
    assert not verdict.held
    assert not verdict.passed
    assert len(verdict.reasons) == 1
    assert f"the ledger failed 1 of 1,204 {kind} " in verdict.reasons[0]


@given(st.data())
def test_a_drill_passes_exactly_when_it_gives_no_reason(data: st.DataObject) -> None:
    def some(name: PhaseName) -> Figures:
        checks = data.draw(st.integers(0, 5))
        activations = data.draw(st.integers(0, 5))
        return figures(
            name,
            checks=checks,
            checks_failed=data.draw(st.integers(0, checks)),
            activations=activations,
            activations_failed=data.draw(st.integers(0, activations)),
        )

    names = [PhaseName.DISK_FULL, *REQUIRED]
    verdict = judged([some(name) for name in names], [some(name) for name in names])
    assert verdict.passed == (not verdict.reasons)
