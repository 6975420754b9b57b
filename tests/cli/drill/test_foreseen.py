"""What the drill overrules: its plan says no-go, and a watch would have ended it in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from cli.drill import script, sides
from cli.drill.database import DATA, NAME, TABLE, Database
from cli.drill.postgres import INSTALL, programs
from cli.drill.scratch import Scratch
from cli.drill.volume import Volume
from cli.maintenance.moments import Limits, Outcome
from cli.maintenance.planning import plan_reindex
from cli.maintenance.watching import Watch
from tests.ports import free_ports

pytestmark = pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}")


@pytest.fixture
def database(here: Scratch, small: Volume) -> Iterator[Database]:
    """The drill's, with as little room as it has there."""
    made = Database(here, small, free_ports(1)[0], [])
    made.make()
    made.start()
    try:
        made.fill_in(sides.keys())
        made.trim()
        small.fill("ballast", leave=script.ROOM_MB << 20)
        yield made
    finally:
        made.die()


def test_it_is_a_no_go_and_overruled_it_is_ended_before_the_disk_is_full(
    here: Scratch, small: Volume, database: Database
) -> None:
    data = small.seen / DATA
    plan = plan_reindex(database.url, TABLE, data_directory=data)
    assert not plan.go
    assert plan.gate_bytes > script.ROOM_MB << 20
    outcomes: list[Outcome] = []
    with closing(Watch(database.url, limits=Limits(), data_directory=data)) as watch:
        looking = threading.Thread(target=lambda: outcomes.append(watch.run(watch.find(None, 20))))
        looking.start()
        try:
            said = database.reindex(1.0)
        finally:
            looking.join(20)
    assert said is not None
    assert "canceling statement" in said
    [outcome] = outcomes
    assert outcome.aborted
    assert small.free_bytes() > 0
    assert "No space left" not in here.log(NAME).read_text(encoding="utf-8")
    assert database.answers()


def test_unwatched_the_disk_is_full(here: Scratch, database: Database) -> None:
    """Else the test before shows nothing."""
    said = database.reindex(0.0)
    assert said is not None
    assert "No space left" in here.log(NAME).read_text(encoding="utf-8")
