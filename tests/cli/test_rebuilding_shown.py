"""What people see of a rebuild that goes on: in a terminal, from elsewhere, and at its end."""

from __future__ import annotations

import re
import sys

import msgspec
import pytest

from cli.rebuilding import bar, planned
from projector.rebuild.built import Built
from projector.rebuild.effect import Effect
from projector.rebuild.intent import Foreseen
from projector.rebuild.plan import Plan
from projector.rebuild.progress import Progress
from projector.rebuild.proof import Proof
from tests.cli.terminal import in_terminal
from tests.servers import ROOT

MB = 1 << 20
MOMENT = Progress(
    phase="building",
    at_ms=1_000_000,
    percent=45.2,
    events=1_234_567,
    events_total=5_000_000,
    events_per_s=31_337.4,
    keys=77,
    keys_per_s=99_999.0,
    left_s=(61, 200),
    lag_ms=35,
    memory_bytes=1_400 * MB,
    builder_bytes=512 * MB,
    held=True,
    too_large=(3,),
)
SHOW = """
import msgspec, sys, time
from cli.rebuilding.bar import Shown
from projector.rebuild.progress import Progress
with Shown() as shown:
    for _ in range(3):
        shown.tell(msgspec.json.decode(sys.argv[1], type=Progress))
        time.sleep(0.2)
"""


@pytest.mark.parametrize(("columns", "least"), [(80, 30), (60, 12)])
def test_the_bar_has_its_place_and_the_text_its_lines(columns: int, least: int) -> None:
    moment = msgspec.json.encode(MOMENT).decode()
    with in_terminal(
        [sys.executable, "-c", SHOW, moment], {"PYTHONPATH": str(ROOT)}, columns=columns
    ) as terminal:
        assert terminal.ended() == 0, terminal.said
    assert all(len(line) <= columns for line in terminal.lines)
    [drawn, *_] = [line for line in terminal.lines if line.startswith("building")]
    assert drawn.count("━") + drawn.count("╸") + drawn.count("╺") >= least, drawn
    assert re.search(r"45%\s+1 min 01 s to 3 min 20 s left$", drawn), drawn
    said = " ".join(terminal.said.split())
    for told in (
        "1,234,567 of 5,000,000 events",
        "31,337 events/s",
        "35 ms old",
        "builders 512.0 MiB",
    ):
        assert told in said
    assert said.count("partition 3 takes more memory") == 1


def test_elsewhere_than_in_a_terminal_it_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with bar.Shown() as shown:
        for _ in range(12):
            shown.tell(MOMENT)
        shown.tell(msgspec.structs.replace(MOMENT, phase="reading back", held=False))
    told, *lines = capsys.readouterr().err.splitlines()
    assert "partition 3 takes more memory than a builder may" in told
    assert len(lines) == 3
    assert lines[0].startswith("building: 45 %, 1 min 01 s to 3 min 20 s left, 1,234,567 of")
    assert lines[0].endswith("holding still, what serves comes first")
    assert "99,999 keys/s" in lines[-1]
    assert "events/s" not in lines[-1]


def facts(
    moment: Progress | None = MOMENT,
    *,
    now_ms: int = 1_000_900,
    holder: str | None = "4711 on host",
    begun: bool = True,
) -> dict[str, str]:
    return dict(bar.now_facts(moment, now_ms=now_ms, holder=holder, begun=begun))


def test_what_is_done_now_is_told_with_who_does_it_and_how_old_that_is() -> None:
    now = facts()
    assert now["progress"] == "█" * 14 + "░" * 16 + " 45.2 %"
    assert now["by process"] == "4711 on host"
    assert now["now"].startswith("building, 1 min 01 s to 3 min 20 s left, 1,234,567 of")
    assert now["not by builders"] == "partitions 3: too large for --memory-mb"
    assert "building (as of 7 s ago), " in facts(now_ms=1_007_000)["now"]


def test_of_a_dead_process_no_now_is_told() -> None:
    now = facts(holder=None, now_ms=1_008_000)
    assert list(now) == ["now"]
    assert now["now"].startswith("nobody works on it: `ledger rebuild run` goes on")
    assert now["now"].endswith("8 s ago it was at building, 45.2 %")
    assert "nobody works on it" in facts(moment=None, holder=None)["now"]
    # What waits for a person, or is over, needs nobody.
    assert facts(holder=None, begun=False) == {}
    assert facts(moment=None, holder="4711 on host") == {}


FORESEEN = Foreseen(
    keys=1_000, folding_s=10, writing_s=5, reading_back_s=4, else_s=1, bytes=120 * MB
)
BUILT = Built(
    generation="2",
    previous="1",
    events=5_000,
    keys=990,
    rendered=9,
    seconds={"building": 17.0, "flipping": 0.4},
    proof=Proof(compared=17, documents=17, by_cut=0, one_by_one=0, frozen={}),
    foreseen=FORESEEN,
    grown_bytes=110 * MB,
    window_s=3_600,
    until_ms=1_790_000_000_000,
)


def test_the_end_is_told_beside_the_plan_and_with_the_way_back() -> None:
    assert planned.beside_the_plan(BUILT) == {
        "foreseen": "1,000 keys (it has 990), 120.0 MiB (it took 110.0 MiB), 20 s (it took 17 s)"
    }
    back = planned.way_back(BUILT, "b")["way back"]
    assert back.startswith("until 2026-09-21 14:13:20 UTC: `ledger rebuild undo --replica B`")
    assert "`ledger rebuild undo`" in planned.way_back(BUILT, "A")["way back"]
    none = planned.way_back(msgspec.structs.replace(BUILT, window_s=0), "A")["way back"]
    assert none.startswith("none: the window was 0")
    assert planned.way_back(msgspec.structs.replace(BUILT, until_ms=0), "A") == {}


def test_what_another_run_has_begun_has_no_time_to_be_held_against_the_plan() -> None:
    resumed = msgspec.structs.replace(BUILT, grown_bytes=None)
    assert planned.beside_the_plan(resumed) == {"foreseen": "1,000 keys (it has 990)"}
    assert planned.beside_the_plan(msgspec.structs.replace(BUILT, foreseen=None)) == {}


def test_the_plan_says_what_it_does_to_what_serves_and_what_can_not_be_seen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Plan(
        generation="2",
        previous="1",
        events=5_000,
        licenses=100,
        keys=1_000,
        redis_bytes=120 * MB,
        redis_free_bytes=900 * MB,
        reserve_bytes=50 * MB,
        fork_bytes=30 * MB,
        file_bytes=100 * MB,
        disk_bytes=300 * MB,
        disk_free_bytes=None,
        builder_bytes=95 * MB,
        builders=2,
        events_per_s=100.0,
        foreseen=FORESEEN,
        effect=Effect(lag_ms=20, ping_ms=0.3, lag_building_ms=180, ping_building_ms=4.5),
        lag_limit_ms=2_000,
        reasons=["too much"],
    )
    planned.print_plan(plan, "A")
    told = capsys.readouterr()
    for said in (
        "20 ms old now, 180 ms with builders at work",
        "answers in 0.3 ms, 4.5 ms with them",
        "900.0 MiB free until maxmemory, 50.0 MiB of it kept for what serves; up to 30.0 MiB",
        "100.0 MiB more, up to 300.0 MiB while it is rewritten; what is free can't be seen",
    ):
        assert said in told.out
    assert "no-go: too much" in told.err
