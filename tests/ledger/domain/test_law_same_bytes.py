"""Same prefix, same bytes: for every batch split, hash seed and Python version."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain.events import EventData
from ledger.event_log.codec import encode
from ledger.event_log.port import Record
from projector.loaded import Documents
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from tests.ledger.domain.given import NOW_MS, asked, imported, issued
from tests.ledger.domain.golden_files import FOLDERS, GOLDEN, LogView, read_log
from tests.ledger.domain.golden_state import replica_of, state_lines
from tests.ledger.domain.strategies import requests
from tests.projector.in_memory import project
from tests.projector.weighing import WEIGHER

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-m", "tests.ledger.domain.print_golden_state"]
EXPECTED = "".join(
    (folder / name).read_text()
    for folder in FOLDERS.values()
    for name in ("verdicts.jsonl", "state.jsonl")
)
NEEDED = ("msgspec", "redis")


def _printed(program: list[str], seed: str = "random") -> str:
    """What the golden log folds to in a process of its own, as bytes that were never ours."""
    finished = subprocess.run(
        program,
        cwd=ROOT,
        env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout.decode()


@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_the_same_bytes_for_every_hash_seed(seed: str) -> None:
    assert _printed(PROGRAM, seed) == EXPECTED


def test_the_same_bytes_on_another_python() -> None:
    python, version = _another_python()
    said = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout.strip()
    assert said == version
    assert said != f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert _printed([python, *PROGRAM[1:]]) == EXPECTED


def _another_python() -> tuple[str, str]:
    """A Python of another version that has what the fold needs; skips aloud where none is."""
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    reasons = []
    for version in ("3.13", "3.14", "3.12", "3.11"):
        for python in _pythons(version) if version != own else []:
            if _can_import(python):
                return python, version
            found, reason = _environment_of(python, version)
            if found is not None:
                return found, version
            reasons.append(f"{python}: {reason}")
    pytest.skip(
        "NO SECOND PYTHON with msgspec, so bytes were compared on one version only. "
        f"Looked at: {'; '.join(reasons) or 'none found'}"
    )


def _pythons(version: str) -> list[str]:
    folders = [*sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin"), reverse=True)]
    folders += [Path("/usr/local/bin"), Path("/usr/bin"), Path("/opt/homebrew/bin")]
    found = [folder / f"python{version}" for folder in folders]
    return [str(python) for python in found if python.exists()]


def _can_import(python: str) -> bool:
    """Whether it has the very versions that the lock names."""
    asked_for = "; ".join(
        f"assert metadata.version({name!r}) == {_locked(name)!r}" for name in NEEDED
    )
    return _succeeds([python, "-c", f"from importlib import metadata; {asked_for}"], 20) is None


def _environment_of(python: str, version: str) -> tuple[str | None, str]:
    """Make an environment with them, once: it is kept in .cache like all that is downloaded."""
    place = ROOT / f".cache/golden-python-{version}"
    inside = str(place / "bin/python")
    if _can_import(inside):
        return inside, ""
    wanted = [f"{name}=={_locked(name)}" for name in NEEDED]
    install = [inside, "-m", "pip", "install", "--quiet", "--no-input", "--only-binary=:all:"]
    trouble = _succeeds([python, "-m", "venv", "--clear", str(place)], 60)
    trouble = trouble or _succeeds([*install, *wanted], 60)
    return (None, trouble) if trouble else (inside, "")


def _succeeds(command: list[str], limit_s: int) -> str | None:
    """Nothing where the command succeeds, else the last line of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return None if done.returncode == 0 else (lines or ["no reason given"])[-1]


def _locked(name: str) -> str:
    found = re.search(rf"^{name}==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def _views(datas: list[EventData]) -> list[LogView]:
    """A log of commands and imported lines in turn, a second apart."""
    views = []
    for offset, data in enumerate([issued(4), *datas]):
        event = imported(data, offset) if offset % 3 == 1 else asked(data, f"request {offset}")
        record = Record(
            partition=0,
            offset=offset,
            timestamp_ms=NOW_MS + 1_000 * offset,
            key=event.license.encode(),
            value=encode(event),
        )
        views.append(LogView(record))
    return views


@given(
    st.lists(requests(), min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=8),
    st.booleans(),
)
async def test_the_same_bytes_for_every_batch_split(
    datas: list[EventData],
    cuts: list[int],
    cached: bool,  # noqa: FBT001 - drawn
) -> None:
    """One record at a time, all at once or cut anywhere; with documents at hand and without."""
    log = _views(datas)
    whole, split = MemoryReadModel(), MemoryReadModel()
    await project(whole, log)
    documents = Documents(Keys(0), WEIGHER) if cached else None
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    for start, end in itertools.pairwise(edges):
        await project(split, log[start:end], documents=documents)
    assert state_lines(split) == state_lines(whole)


@settings(max_examples=5)
@given(st.lists(st.integers(1, 8_900), min_size=1, max_size=6))
async def test_the_golden_state_for_every_batch_split(cuts: list[int]) -> None:
    log = [LogView(record) for record in read_log((GOLDEN / "log.jsonl").read_text())]
    model = MemoryReadModel()
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    for start, end in itertools.pairwise(edges):
        await project(model, log[start:end])
    assert state_lines(model) == (GOLDEN / "state.jsonl").read_text()


@given(st.lists(st.integers(1, 120), min_size=1, max_size=6))
async def test_the_golden_state_of_rules_2_for_every_batch_split(cuts: list[int]) -> None:
    log = [LogView(record) for record in read_log((FOLDERS[2] / "log.jsonl").read_text())]
    model = MemoryReadModel()
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    for start, end in itertools.pairwise(edges):
        await project(model, log[start:end])
    assert state_lines(model) == (FOLDERS[2] / "state.jsonl").read_text()


async def test_a_prefix_of_the_log_is_folded_as_far_as_it_goes() -> None:
    """What comes later changes nothing before it: folding on from a prefix ends the same."""
    log = read_log((GOLDEN / "log.jsonl").read_text())
    half = await replica_of(log[:120])
    await project(half, [LogView(record) for record in log[120:]])
    assert state_lines(half) == (GOLDEN / "state.jsonl").read_text()
