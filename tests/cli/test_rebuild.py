"""`ledger rebuild` on a real ledger with real projectors: what people and scripts are told."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from projector.rebuild.intent import KEY as INTENT
from projector.rebuild.intent import RELEASES, Intent, intent_document
from projector.rehearsal.outcome import KEY
from projector.views.digests import VIEW
from tests.activity import Activity, append
from tests.projector.rebuild.rebuilding import wrong_fold
from tests.servers import ROOT
from tests.system import System, running

runner = CliRunner()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("rebuild"), workers=0) as system:
        activity = Activity(3, partitions=system.settings.partitions, licenses=200)
        asyncio.run(
            append(system.kafka.bootstrap, "license-events", list(activity.appendables(3_000)))
        )
        system.wait_level()
        yield system


def rebuild(ledger: System, *words: str, code: int = 0) -> Result:
    result = runner.invoke(app, ["rebuild", *words], env=ledger.env)
    assert result.exit_code == code, result.output + result.stderr
    return result


def told(ledger: System, *words: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(rebuild(ledger, *words, "--json", code=code).stdout)
    return document


def test_from_the_plan_to_the_end_of_the_window(ledger: System) -> None:
    plan = told(ledger, "plan")
    assert (plan["generation"], plan["previous"], plan["reasons"]) == ("2", "1", [])
    assert plan["events"] > 3_000
    assert 0 < plan["licenses"] <= 250
    assert "go" in rebuild(ledger, "plan").stdout

    built = told(ledger, "start", "--builders", "1")
    assert built["generation"] == "2"
    assert 0 < built["rendered"] < built["keys"]
    assert told(ledger, "status")["rebuild"]["phase"] == "proved"
    assert told(ledger, "status")["serving"] == ["1"]

    assert told(ledger, "flip")["proof"]["compared"] == 17
    assert told(ledger, "status")["serving"] == ["2"]
    assert told(ledger, "undo")["serves"] == "1"
    assert told(ledger, "status")["serving"] == ["1"]
    undone = rebuild(ledger, "undo")
    assert "Generation 1 serves again" in undone.stdout
    assert "isn't of one release" not in undone.stderr
    _another_release_is_told(ledger)
    assert told(ledger, "flip")["generation"] == "2"

    refused = rebuild(ledger, "run", code=1)
    assert "ledger rebuild finish" in refused.stderr
    asked = rebuild(ledger, "finish", code=2)
    assert "--yes" in asked.stderr
    assert told(ledger, "finish", "--yes")["deleted_keys"] >= 17
    status = told(ledger, "status")
    closed = status.pop("closed")
    status.pop("progress")
    status.pop("progress_age_ms")
    assert status == {"rebuild": None, "serving": ["2"], "kept": [], "works": None}
    assert (closed["dropped"], closed["serves"], closed["flipped"]) == ("1", "2", True)
    for command in ("undo", "flip", "cancel"):
        refused = rebuild(ledger, command, code=1)
        assert "the window of the last one closed at" in refused.stderr
        assert "generation 1 was deleted, and generation 2 serves" in refused.stderr
    assert "generation 1 was deleted" in words_of(rebuild(ledger, "status").stdout)


def _another_release_is_told(ledger: System) -> None:
    """As after an upgrade while the window is open."""
    mine = told(ledger, "status")["rebuild"]["release"]
    with Redis.from_url(ledger.replicas[0].url) as client:
        client.sadd(RELEASES, "0.0.7")
        try:
            status = words_of(rebuild(ledger, "status").stdout)
            assert f"folded on by releases 0.0.7, {mine}" in status
            kept = {one["generation"]: one for one in told(ledger, "status")["kept"]}
            assert set(kept) == {"1", "2"}
            assert kept["1"] == {
                "generation": "1",
                "releases": ["0.0.7", mine],
                "places": 17,
                "otherwise": 0,
            }
            undone = rebuild(ledger, "undo")
        finally:
            client.srem(RELEASES, "0.0.7")
    assert "Generation 1 isn't of one release" in undone.stderr
    assert f"release {mine} did the rebuild" in words_of(undone.stderr)


def words_of(text: str) -> str:
    """As one line, however it was broken."""
    return " ".join(text.split())


def test_what_is_not_proved_is_not_flipped(ledger: System) -> None:
    with Redis.from_url(ledger.replicas[1].url) as client:
        before = client.get("{p00}:serving")
        intent = Intent(
            generation="2",
            previous="1",
            phase="building",
            ends=(1,) * ledger.settings.partitions,
            view=VIEW,
            release="1",
            started_ms=1,
        )
        client.set(INTENT, intent_document(intent))
        try:
            refused = rebuild(ledger, "flip", "--replica", "B", code=1)
            undone = rebuild(ledger, "undo", "--replica", "B", code=1)
            finished = rebuild(ledger, "finish", "--yes", "--replica", "B", code=1)
            other = rebuild(ledger, "run", "--replica", "B", code=1)
        finally:
            client.delete(INTENT)
        assert client.get("{p00}:serving") == before
    assert "it isn't proved yet: `ledger rebuild start` or `run` goes on" in refused.stderr
    assert "nothing was flipped, so nothing is to be undone" in undone.stderr
    assert "in the phase 'building' ends otherwise" in finished.stderr
    assert "a rebuild by release 1 is under way" in other.stderr


@pytest.mark.slow
def test_what_was_built_is_given_up(ledger: System) -> None:
    before = told(ledger, "status")["serving"]
    told(ledger, "start", "--replica", "b")
    shown = rebuild(ledger, "status", "--replica", "B").stdout
    assert "proved" in shown
    one_at_a_time = rebuild(ledger, "start", code=1)
    assert "a rebuild of replica B is under way (generation 2, proved)" in one_at_a_time.stderr
    assert "replica B" in told(ledger, "plan", code=1)["reasons"][0]
    assert told(ledger, "cancel", "--replica", "B")["deleted_keys"] >= 17
    refused = rebuild(ledger, "undo", "--replica", "B", code=1)
    assert "the last one was given up at" in refused.stderr
    assert told(ledger, "status", "--replica", "B")["rebuild"] is None
    assert told(ledger, "status")["serving"] == before


def test_nothing_is_begun_where_nobody_folds_on(
    ledger: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projector.rebuild.folded_on.FOLDED_ON_S", 0.5)
    projector = ledger.projectors[1]
    projector.freeze()
    try:
        refused = rebuild(ledger, "run", "--replica", "B", code=1)
    finally:
        projector.thaw()
    assert "what serves isn't level in 17 of 17 places" in refused.stderr
    assert "Start the replica's projector" in refused.stderr
    assert told(ledger, "status", "--replica", "B")["rebuild"] is None


def test_a_plan_that_does_not_fit_is_refused_with_its_numbers(ledger: System) -> None:
    with Redis.from_url(ledger.replicas[1].url) as client:
        before = client.config_get("maxmemory")["maxmemory"]
        used = client.info()["used_memory"]
        client.config_set("maxmemory", used + 300_000)
        try:
            plan = told(ledger, "plan", "--replica", "B", code=1)
            refused = rebuild(ledger, "run", "--replica", "B", code=1)
        finally:
            client.config_set("maxmemory", before)
    assert "maxmemory" in plan["reasons"][0]
    assert "no-go" in refused.stderr
    assert "maxmemory" in refused.stderr
    assert told(ledger, "status", "--replica", "B")["rebuild"] is None


OTHERWISE = """
from projector.rebuild import rendering

license_document = rendering.license_document

def planted(license_):
    return license_document(license_).replace(b'"links"', b'"knils"')

rendering.license_document = planted
"""


@pytest.mark.slow
def test_what_is_not_proved_is_shown_from_both_sides(
    ledger: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(OTHERWISE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    before = told(ledger, "status", "--replica", "B")["serving"]
    failed = rebuild(ledger, "start", "--replica", "B", code=1)
    assert failed.stdout == ""
    said = failed.stderr.replace("\n", "")
    shown = r"  (built|the log): the same state, and at byte (\d+) .*?(links|knils)"
    forms = re.findall(shown, said)
    assert forms
    for built, log in zip(forms[::2], forms[1::2], strict=True):
        assert (built[0], log[0]) == ("built", "the log")
        assert (built[2], log[2]) == ("knils", "links")
        assert built[1] == log[1]
    assert re.search(r"and \d+ more", said)
    assert "What serves is untouched" in failed.stderr

    document = told(ledger, "start", "--replica", "B", code=1)
    assert (document["proved"], document["against"]) == (False, "the log")
    assert document["differing"] >= len(document["differences"]) > 0
    for one in document["differences"]:
        assert '"knils"' in one["stored"]
        assert one["stored"].replace("knils", "links") == one["expected"]
    assert told(ledger, "status", "--replica", "B")["serving"] == before
    assert "isn't proved" in rebuild(ledger, "flip", "--replica", "B", code=1).stderr
    assert told(ledger, "cancel", "--replica", "B")["deleted_keys"] >= 17


@pytest.mark.slow
def test_what_serves_wrong_is_mended_by_the_log_after_a_yes(ledger: System) -> None:
    b = ("--replica", "B")
    license_ = wrong_fold(ledger.replicas[1].url, ledger.settings.pepper)
    document = told(ledger, "run", *b, code=1)
    assert (document["against"], document["differing"]) == ("what serves", 1)
    [difference] = document["differences"]
    assert '"seats_peak":99' in difference["expected"]
    assert '"seats_peak":99' not in difference["stored"]

    for command in (("run", "--against-log"), ("flip",)):
        asked = rebuild(ledger, *command, *b, code=2)
        said = asked.stderr.replace("\n", "")
        assert "--yes" in said
        assert license_ in said
        assert re.search(r"will be: .*serves now: .*\"seats_peak\":99", said)
        assert asked.stdout == ""
        assert told(ledger, "status", *b)["serving"] == ["1"]
    changes = told(ledger, "start", "--against-log", *b)["proof"]["changes"]
    assert (changes["count"], list(changes["owners"].values())) == (1, [[license_]])

    shown = rebuild(ledger, "flip", *b, "--yes").stdout
    assert "by digests the state in 16 of 17 places" in shown
    assert license_ in shown
    assert told(ledger, "status", *b)["serving"] == ["2"]
    told(ledger, "undo", *b)
    assert told(ledger, "status", *b)["serving"] == ["1"]
    assert "--yes" in rebuild(ledger, "flip", *b, code=2).stderr
    told(ledger, "flip", *b, "--yes")
    told(ledger, "finish", *b, "--yes")


FOLD = """
from msgspec.structs import replace
from projector.rebuild import bulk

fold = bulk.fold

def planted(event, offset, elapsed_ms, loaded):
    folded = fold(event, offset, elapsed_ms, loaded)
    if event.license == {license!r} and folded.changed:
        verdict = replace(folded.verdict, limit=77)
        return replace(folded, license=replace(folded.license, uses=77), verdict=verdict)
    return folded

bulk.fold = planted
"""
CTRL_C = """
import os, signal
from projector.rebuild import bulk

fold = bulk.fold

def interrupted(*arguments):
    bulk.fold = fold
    os.kill(os.getpid(), signal.SIGINT)
    return fold(*arguments)

bulk.fold = interrupted
"""


def rehearse(ledger: System, *words: str, plants: Path | None = None) -> Popen[str]:
    """`ledger rehearse` as a process of its own, of a release with what is planted."""
    folders = [str(ROOT)] if plants is None else [str(plants), str(ROOT)]
    env = {**os.environ, **ledger.env, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-c", "from cli.main import main; main()", "rehearse", *words]
    return Popen(command, env=env, stdout=PIPE, stderr=PIPE, text=True)


def test_a_release_is_rehearsed_while_all_goes_on(ledger: System, tmp_path: Path) -> None:
    with Redis.from_url(ledger.replicas[0].url) as client:
        before = {name: client.get(name) for name in client.scan_iter("*:E:*", count=1000)}
        names = sorted(client.scan_iter("*:[0-9]*:L:*", count=1000))
        license_ = names[len(names) // 2].decode().split(":")[3]
    activity = Activity(4, partitions=ledger.settings.partitions, licenses=50)
    (tmp_path / "sitecustomize.py").write_text(FOLD.format(license=license_))
    same, other = rehearse(ledger), rehearse(ledger, "--json", plants=tmp_path)
    while same.poll() is None or other.poll() is None:
        events = list(activity.appendables(40))
        asyncio.run(append(ledger.kafka.bootstrap, "license-events", events))
    said, remarks = same.communicate()
    assert same.returncode == 0, said + remarks
    assert re.fullmatch(r"Changes 0 of [\d,]+ verdicts, 0 of \d+ licenses\.\n", said)

    said, remarks = other.communicate()
    assert other.returncode == 1, said + remarks
    found = json.loads(said)
    assert (found["replica"], found["rules"], found["apart"]) == ("A", None, [])
    *verdicts, state = sorted(found["changes"], key=lambda one: one["kind"] == "license")
    assert verdicts, "it has remembered some"
    assert (state["license"], state["kind"], state["id"]) == (license_, "license", license_)
    assert state["after"] == {**state["before"], "uses": 77}
    assert {(one["license"], one["kind"]) for one in verdicts} == {(license_, "verdict")}
    assert [one["after"] for one in verdicts] == [
        {**one["before"], "limit": 77} for one in verdicts
    ]
    assert (found["changed_verdicts"], found["changed_licenses"]) == (len(verdicts), 1)
    with Redis.from_url(ledger.replicas[0].url) as client:
        assert {name: client.get(name) for name in client.scan_iter("*:E:*", count=1000)} == before
        assert not client.exists(KEY)


def test_a_rehearsal_says_what_it_can_not_do_and_ends_at_ctrl_c(
    ledger: System, tmp_path: Path
) -> None:
    for arguments, named in (
        (["--rules", "1"], "rules 2 are active"),
        (["--rules", "3"], "upgrade it first"),
    ):
        refused = runner.invoke(app, ["rehearse", *arguments], env=ledger.env)
        assert refused.exit_code == 2
        assert named in refused.stderr
    nowhere = {**ledger.env, "LEDGER_REPLICAS": "redis://127.0.0.1:1,redis://127.0.0.1:2"}
    for arguments in ([], ["--rules", "2"]):
        refused = runner.invoke(app, ["rehearse", *arguments], env=nowhere)
        assert refused.exit_code == 3
        assert "no replica answers" in refused.stderr
    (tmp_path / "sitecustomize.py").write_text(CTRL_C)
    interrupted = rehearse(ledger, plants=tmp_path)
    assert interrupted.communicate(timeout=60) == ("", "")
    assert interrupted.returncode == 130


def test_what_is_not_there_is_named(ledger: System) -> None:
    assert "--replica is one of A, B" in rebuild(ledger, "plan", "--replica", "C", code=2).stderr
    for command in ("undo", "cancel", "flip"):
        assert "no rebuild is under way" in rebuild(ledger, command, code=1).stderr
    span = rebuild(ledger, "undo", "--window", "soon", code=2).stderr
    assert "--window" in span
