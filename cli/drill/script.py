"""What happens in the drill: the phases in their order, how long each lasts, and the rates."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from cli.drill.outcome import PhaseName, SideName

LICENSES: Final = 300
"""Asked on both sides; every second one is of a free product."""
LAUNCHES_PER_S: Final = 40.0
ACTIVATIONS_PER_S: Final = 6.0
TIMEOUT_S: Final = 2.0
"""How long a product waits for an answer."""
EVERYBODY: Final = 3.0
"""How many times the usual rate comes when all is back, ..."""
AT_ONCE_S: Final = 3.0
"""... and for how long."""
WARM_S: Final = 3.0
LOCKED_FIRST_S: Final = 5.0
"""How long the table is locked before its rebuild begins: the table is small, the lock isn't."""
ROOM_MB: Final = 24
"""What is free when the rebuild begins; it needs more."""
PRESS_S: Final = 5.0


class Scene(Struct, frozen=True, kw_only=True):
    """A phase as it is written: `lasts_s` where nothing else ends it."""

    title: str
    about: str
    lasts_s: float = 0.0


SCENES: Final[dict[PhaseName, Scene]] = {
    PhaseName.HEALTHY: Scene(
        title="healthy",
        about="Both sides answer everything.",
        lasts_s=8,
    ),
    PhaseName.REINDEX: Scene(
        title="reindex",
        about="The second of the two largest tables is reindexed under its lock, on a disk with "
        "too little room for that, until Postgres fails.",
    ),
    PhaseName.DISK_FULL: Scene(
        title="disk full",
        about="Not a byte is free on the database's disk; it can still be read.",
        lasts_s=8,
    ),
    PhaseName.CLEANUP: Scene(
        title="cleanup",
        about="Somebody has made room; the database goes on.",
        lasts_s=4,
    ),
    PhaseName.LOCK: Scene(
        title="lock",
        about="The table of licenses is locked by one who doesn't let go.",
        lasts_s=8,
    ),
    PhaseName.HANG: Scene(
        title="hang",
        about="The database's processes stand still (SIGSTOP): connections stay, answers don't "
        "come. Checks of the naive service are neutralized by hand: paid products start without.",
        lasts_s=8,
    ),
    PhaseName.DEATH: Scene(
        title="death",
        about="The database's processes are killed, and nobody starts them.",
        lasts_s=8,
    ),
    PhaseName.RETURN: Scene(
        title="return",
        about=f"The database is started again, and everybody comes back at once: {EVERYBODY:.0f} "
        f"times as many launches and activations for {AT_ONCE_S:.0f} s, on both sides.",
        lasts_s=9,
    ),
    PhaseName.AFTERWARDS: Scene(
        title="afterwards",
        about="As before.",
        lasts_s=4,
    ),
}

TITLES: Final = {
    SideName.NAIVE: ("naive service", "FastAPI and one Postgres, asked and changed in one table"),
    SideName.LEDGER: ("license ledger", "this ledger, as its local run has it on one machine"),
}

NOT_REPRODUCED: Final = [
    (
        "A rollback of hours. On Postgres an aborted REINDEX gives its room back at once, and the "
        "redo of a small log takes less than a second; the vendor's took three hours, and its "
        "promised end moved three times."
    ),
    (
        "The size. The vendor's index needed more than 140 GB; here the table has some hundred "
        "thousand rows, so it is locked for some seconds before its rebuild begins, and other "
        "faults last seconds instead of an hour."
    ),
    "The management console and the support site, which were down as well.",
    "Several machines: both sides and their clients share this one.",
]
