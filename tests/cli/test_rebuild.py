"""`ledger rebuild` on a real ledger with real projectors: what people and scripts are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from tests.activity import Activity, append
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
    assert told(ledger, "status")["rebuild"]["phase"] == "proved"
    assert told(ledger, "status")["serving"] == ["1"]

    assert told(ledger, "flip")["proof"]["compared"] == 17
    assert told(ledger, "status")["serving"] == ["2"]
    assert told(ledger, "undo")["serves"] == "1"
    assert told(ledger, "status")["serving"] == ["1"]
    assert "Generation 1" in rebuild(ledger, "undo").stdout
    assert told(ledger, "flip")["generation"] == "2"

    refused = rebuild(ledger, "run", code=1)
    assert "ledger rebuild finish" in refused.stderr
    asked = rebuild(ledger, "finish", code=2)
    assert "--yes" in asked.stderr
    assert told(ledger, "finish", "--yes")["deleted_keys"] >= 17
    assert told(ledger, "status") == {
        "rebuild": None,
        "progress": told(ledger, "status")["progress"],
        "serving": ["2"],
    }


def test_what_was_built_is_given_up(ledger: System) -> None:
    before = told(ledger, "status")["serving"]
    told(ledger, "start", "--replica", "b")
    shown = rebuild(ledger, "status", "--replica", "B").stdout
    assert "proved" in shown
    assert told(ledger, "cancel", "--replica", "B")["deleted_keys"] >= 17
    assert told(ledger, "status", "--replica", "B")["rebuild"] is None
    assert told(ledger, "status")["serving"] == before


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


def test_what_is_not_there_is_named(ledger: System) -> None:
    assert "--replica is one of A, B" in rebuild(ledger, "plan", "--replica", "C", code=2).stderr
    for command in ("undo", "cancel"):
        assert "no rebuild is under way" in rebuild(ledger, command, code=1).stderr
    assert "no rebuild is under way" in rebuild(ledger, "flip", code=1).stderr
    span = rebuild(ledger, "undo", "--window", "soon", code=2).stderr
    assert "--window" in span
