"""A drill that nobody ran: an outcome made of shares, for whoever reads outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cli.drill.judging import judge
from cli.drill.outcome import (
    FORMAT,
    Figures,
    Machine,
    Moment,
    Outcome,
    Phase,
    PhaseName,
    Second,
    Side,
    SideName,
)

PHASE_S: Final = 12
LAUNCHES: Final = 20
ACTIVATIONS: Final = 4
NO_VOLUME: Final = "no small volume can be made here: mounting one takes root, or namespaces"
NEUTRALIZED_AT: Final = 6
"""Seconds into the lock after which paid launches (half of them) start unchecked."""

TITLES: Final = {
    PhaseName.HEALTHY: ("All is well", "Nothing is broken; what is measured here is the 'before'."),
    PhaseName.REINDEX: ("Reindex", "The table of machines is locked and its indexes built anew."),
    PhaseName.DISK_FULL: ("Disk full", "The reindex has eaten the volume, and it stays full."),
    PhaseName.CLEANUP: ("Clean-up", "Space is freed by hand, and the database recovers."),
    PhaseName.LOCK: ("Locked", "A session holds the table of licenses exclusively."),
    PhaseName.HANG: ("Hung", "All processes of the database are stopped, not ended."),
    PhaseName.DEATH: ("Dead", "The database is ended, and nothing listens on its port."),
    PhaseName.RETURN: ("All return", "The database is back, and everybody comes back at once."),
    PhaseName.AFTERWARDS: ("Afterwards", "Nothing is broken any more."),
}

FAILING: Final = {
    PhaseName.REINDEX: (0.6, 0.6),
    PhaseName.DISK_FULL: (0.05, 0.75),
    PhaseName.CLEANUP: (0.2, 0.25),
    PhaseName.LOCK: (1.0, 1.0),
    PhaseName.HANG: (0.9, 1.0),
    PhaseName.DEATH: (1.0, 1.0),
    PhaseName.RETURN: (0.3, 0.5),
}
"""What share of checks and of activations a naive service fails, phase by phase."""

Shares = Mapping[PhaseName, tuple[float, float]]


def phases_of(*, disk: bool = True) -> list[Phase]:
    """All phases in their order; without a `disk` the full one is skipped."""
    phases, at = [], 0
    for name, (title, about) in TITLES.items():
        skipped = None if disk or name is not PhaseName.DISK_FULL else NO_VOLUME
        to = at + (0 if skipped else PHASE_S)
        phases.append(
            Phase(name=name, title=title, about=about, from_s=at, to_s=to, skipped=skipped)
        )
        at = to
    return phases


def figures(
    name: PhaseName,
    *,
    checks: int = LAUNCHES * PHASE_S,
    checks_failed: int = 0,
    activations: int = ACTIVATIONS * PHASE_S,
    activations_failed: int = 0,
    started: int | None = None,
) -> Figures:
    """Figures of one phase; a launch is a check, and starts if that doesn't fail."""
    broken, denied = checks_failed > 0, activations_failed > 0
    answers = {
        "200 VALID": checks - checks_failed,
        "201": activations - activations_failed,
        "timeout": checks_failed,
        "500": activations_failed,
    }
    return Figures(
        phase=name,
        checks=checks,
        checks_failed=checks_failed,
        activations=activations,
        activations_failed=activations_failed,
        launches=checks,
        started=checks - checks_failed if started is None else started,
        check_p50_ms=(1234.5 if broken else 2.31) if checks else None,
        check_p99_ms=(2000.0 if broken else 8.76) if checks else None,
        activation_p50_ms=(1678.9 if denied else 11.4) if activations else None,
        activation_p99_ms=(2000.0 if denied else 31.8) if activations else None,
        answers={kind: number for kind, number in answers.items() if number},
    )


def side_of(name: SideName, phases: list[Phase], failing: Shares, lost_minutes: float) -> Side:
    """A side that fails a share of each second's checks and activations."""
    seconds, sums = [], []
    for phase in phases:
        checks_share, activations_share = failing.get(phase.name, (0.0, 0.0))
        mine = []
        for at in range(int(phase.from_s), int(phase.to_s)):
            # What is returned to comes in one rush.
            sent = LAUNCHES * (3 if phase.name is PhaseName.RETURN and at < phase.from_s + 3 else 1)
            failed = round(sent * checks_share)
            by_hand = phase.name is PhaseName.LOCK and at >= phase.from_s + NEUTRALIZED_AT
            mine.append(
                Second(
                    at_s=at,
                    launches=sent,
                    started=sent - (failed // 2 if by_hand else failed),
                    free=sent // 2,
                    free_started=(sent - failed) // 2,
                    checks_failed=failed,
                    activations=ACTIVATIONS,
                    activated=ACTIVATIONS - round(ACTIVATIONS * activations_share),
                )
            )
        seconds += mine
        sums.append(
            figures(
                phase.name,
                checks=sum(second.launches for second in mine),
                checks_failed=sum(second.checks_failed for second in mine),
                activations=sum(second.activations for second in mine),
                activations_failed=sum(second.activations - second.activated for second in mine),
                started=sum(second.started for second in mine),
            )
        )
    title = "Naive service" if name is SideName.NAIVE else "The ledger"
    about = (
        "One table of licenses in Postgres, read and written by every request."
        if name is SideName.NAIVE
        else "A log in Kafka, and replicas that no database stands behind."
    )
    return Side(
        name=name,
        title=title,
        about=about,
        seconds=seconds,
        phases=sums,
        lost_minutes=lost_minutes,
    )


def outcome_of(
    *,
    failing: Shares = FAILING,
    ledger_failing: Shares | None = None,
    disk: bool = True,
    moments: list[Moment] | None = None,
    naive_minutes: float = 1234.4,
) -> Outcome:
    """A drill as it would be kept, judged as a real one is."""
    phases = phases_of(disk=disk)
    at = {phase.name: phase.from_s for phase in phases}
    naive = side_of(SideName.NAIVE, phases, failing, naive_minutes)
    ledger = side_of(SideName.LEDGER, phases, ledger_failing or {}, 3.21 if ledger_failing else 0.0)
    return Outcome(
        format=FORMAT,
        began="2026-11-05T08:00:12Z",
        took_s=131.4,
        tier="a file of 700 MB as a volume of its own, made by root"
        if disk
        else f"a plain folder: {NO_VOLUME}",
        machine=Machine(
            system="Linux 6.1, x86_64",
            cores=2,
            memory_gb=23.4,
            separated="one core for the naive side and its database, one for the ledger",
        ),
        versions={"Postgres": "15.18", "Python": "3.11.2", "Kafka": "4.3.1", "ledger": "0.1.0"},
        launches_per_s=float(LAUNCHES),
        activations_per_s=float(ACTIVATIONS),
        client_timeout_s=2.0,
        neutralized=(at[PhaseName.LOCK] + NEUTRALIZED_AT, at[PhaseName.HANG]),
        phases=phases,
        moments=moments_of(at) if moments is None else moments,
        sides=[naive, ledger],
        verdict=judge(phases, naive=naive.phases, ledger=ledger.phases),
        not_reproduced=[
            "A rollback of hours: Postgres undoes a reindex at once.",
            "More than 140 GB: the index here has some hundred megabytes.",
        ],
    )


def moments_of(at: Mapping[PhaseName, float]) -> list[Moment]:
    """What Postgres said, and what was done by hand."""
    told = [
        (at[PhaseName.REINDEX] + 1, "by hand: REINDEX TABLE machines"),
        (
            at[PhaseName.DISK_FULL] + 0.2,
            (
                'ERROR: could not write to file "base/pgsql_tmp/pgsql_tmp19001.2.fileset/0.0": '
                "No space left on device"
            ),
        ),
        (
            at[PhaseName.DISK_FULL] + 0.9,
            'PANIC: could not write to file "pg_wal/xlogtemp.30038": No space left on device',
        ),
        (at[PhaseName.CLEANUP], "by hand: room is made on the volume"),
        (at[PhaseName.LOCK], "by hand: LOCK TABLE licenses IN ACCESS EXCLUSIVE MODE"),
        (at[PhaseName.LOCK] + NEUTRALIZED_AT, "by hand: checks of paid products are neutralized"),
        (at[PhaseName.HANG], "SIGSTOP to all processes of the database"),
        (at[PhaseName.DEATH], "the database is ended at once"),
        (at[PhaseName.RETURN], "the database is started again"),
    ]
    return [Moment(at_s=at_s, text=text) for at_s, text in told]
