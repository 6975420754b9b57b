"""The clock of a drill: phases that follow each other without a gap, and one that is skipped."""

from __future__ import annotations

import pytest

from cli.drill.outcome import PhaseName
from cli.drill.play import Play


def test_phases_follow_each_other_and_a_skipped_one_has_no_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("cli.drill.play.time.monotonic", lambda: now)
    here = Play(began=100.0)
    now = 108.0
    here.enter(PhaseName.REINDEX)
    now = 112.0
    here.happened("the disk is full")
    here.skip(PhaseName.DISK_FULL, "there is no volume")
    now = 113.0
    here.enter(PhaseName.LOCK)
    now = 120.0
    here.enter(None)
    assert [(one.name, one.from_s, one.to_s) for one in here.phases] == [
        (PhaseName.HEALTHY, 0, 8),
        (PhaseName.REINDEX, 8, 13),
        (PhaseName.DISK_FULL, 12, 12),
        (PhaseName.LOCK, 13, 20),
    ]
    assert [one.skipped for one in here.phases] == [None, None, "there is no volume", None]
    assert [(one.at_s, one.text) for one in here.moments] == [(12, "the disk is full")]
