"""Whether a drill proves anything, and whether the ledger held; pure.

A drill proves something only if the naive service failed as the vendor's did: of its checks more
than 40 % in each of the phases in which the database can't be read, of its activations more than
40 % while the disk was full (a full disk fails writes, not reads). The disk alone may be skipped,
where no small volume can be made. The ledger holds if it failed no check and no activation at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cli.drill.outcome import Figures, Phase, PhaseName, Verdict
from cli.drill.wording import WHILE, count, share

NEEDED_PERCENT: Final = 40
"""The naive service has to fail more than this."""
UNREADABLE: Final = (PhaseName.LOCK, PhaseName.HANG, PhaseName.DEATH)
UNWRITABLE: Final = (PhaseName.DISK_FULL,)
"""Phases that may be skipped."""

PROVES_NOTHING: Final = ": this drill proves nothing"
"""How a reason ends that takes the proof away."""


def judge(
    phases: Sequence[Phase], *, naive: Sequence[Figures], ledger: Sequence[Figures]
) -> Verdict:
    """The verdict on a drill's phases and on the figures of both sides, phase by phase."""
    skipped = {phase.name for phase in phases if phase.skipped is not None}
    required = [*(name for name in UNWRITABLE if name not in skipped), *UNREADABLE]
    by_naive = {figures.phase: figures for figures in naive}
    by_ledger = {figures.phase: figures for figures in ledger}
    missed = [
        reason
        for name in PhaseName
        if name in required
        for reason in _unproved(name, by_naive, by_ledger)
    ]
    broken = [reason for figures in ledger for reason in _broken(figures)]
    return Verdict(proves=not missed, held=not broken, reasons=[*missed, *broken])


def _unproved(
    name: PhaseName, naive: Mapping[PhaseName, Figures], ledger: Mapping[PhaseName, Figures]
) -> Iterator[str]:
    """What a phase lacks for a proof."""
    kind = "activations" if name in UNWRITABLE else "checks"
    if not _sent(ledger.get(name), kind):
        yield f"no {kind} were sent to the ledger {WHILE[name]}{PROVES_NOTHING}"
    figures = naive.get(name)
    sent = _sent(figures, kind)
    if figures is None or not sent:
        yield f"no {kind} were sent to the naive service {WHILE[name]}{PROVES_NOTHING}"
        return
    failed = figures.activations_failed if name in UNWRITABLE else figures.checks_failed
    if 100 * failed <= NEEDED_PERCENT * sent:
        yield (
            f"the naive service failed {count(failed)} of {count(sent)} {kind} {WHILE[name]} "
            f"({share(failed, sent)}, more than {NEEDED_PERCENT} % is needed){PROVES_NOTHING}"
        )


def _sent(figures: Figures | None, kind: str) -> int:
    if figures is None:
        return 0
    return figures.checks if kind == "checks" else figures.activations


def _broken(figures: Figures) -> Iterator[str]:
    """What the ledger failed in a phase."""
    for kind, failed, sent in (
        ("checks", figures.checks_failed, figures.checks),
        ("activations", figures.activations_failed, figures.activations),
    ):
        if failed:
            yield (
                f"the ledger failed {count(failed)} of {count(sent)} {kind} "
                f"{WHILE[figures.phase]} ({share(failed, sent)}, none is allowed)"
            )
