"""`ledger neutralize` against workers that listen: every worker's acceptance, and who has none."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from api.serving import make_server
from api.settings import read_api_settings
from cli.main import app
from ledger.signing_keys import private_pem
from tests.api.conftest import LocalLedger
from tests.api.emergency.alone import Alone, obedient
from tests.emergency import KEY, NAME, OTHER_KEY

Place = tuple[Alone, str]


@asynccontextmanager
async def listening(ledger: LocalLedger, **more: str) -> AsyncIterator[Place]:
    """A worker that listens, and where."""
    async with obedient(ledger, **more) as one:
        server = make_server(one.worker.app, read_api_settings(ledger.environment()))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield one, f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving


@pytest.fixture
async def places(ledger: LocalLedger) -> AsyncIterator[list[Place]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(listening(ledger)) for _ in range(2)]


@pytest.fixture
def key(tmp_path: Path) -> str:
    return key_file(tmp_path / "key.pem", private_pem(KEY))


def key_file(file: Path, pem: str) -> str:
    file.write_text(pem)
    file.chmod(0o600)
    return str(file)


async def neutralize(places: list[Place], *arguments: str) -> Result:
    """Run the command beside the workers; it names each of them."""
    env = {"LEDGER_EMERGENCY_WORKERS": ",".join(url for _, url in places), "COLUMNS": "300"}
    return await asyncio.to_thread(CliRunner().invoke, app, ["neutralize", *arguments], env=env)


async def began(places: list[Place], key: str, *more: str) -> tuple[Result, dict[str, Any]]:
    ordered = ["start", "--key", key, "--for", "30m", "--reason", "a drill", "--json"]
    done = await neutralize(places, *ordered, *more)
    return done, json.loads(done.stdout)


async def test_every_worker_takes_an_order_shows_it_and_ends_it(
    places: list[Place], key: str
) -> None:
    done, document = await began(places, key, "--unknown-keys")
    assert done.exit_code == 0, done.output
    order = document["order"]
    assert [row["url"] for row in document["workers"]] == [url for _, url in places]
    for one, _ in places:
        [shown] = (await one.standing())["orders"]
        assert (shown["id"], shown["account"], shown["key"]) == (order, one.account, NAME)
        assert shown["unknownKeys"] is True
    status = await neutralize(places, "status", order)
    assert status.exit_code == 0
    assert status.stdout.count("runs, ") == 2
    ended = await neutralize(places, "end", order, "--key", key)
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.count("over") == 2
    for one, _ in places:
        assert [shown["over"] for shown in (await one.standing())["orders"]] == ["ENDED"]


async def test_which_worker_has_not_taken_it_is_said_with_the_reason(
    ledger: LocalLedger,
    places: list[Place],
    key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.neutralizing.delivery.LIMIT_S", 1.0)
    monkeypatch.setattr("cli.commands.neutralize.LIMIT_S", 1.0)
    async with listening(ledger, LEDGER_EMERGENCY_KEYS="") as deaf:
        done, document = await began([*places, deaf], key)
        assert done.exit_code == 1
        assert [row["runs"] for row in document["workers"]] == [True, True, False]
        assert [row["why"] is None for row in document["workers"]] == [True, True, False]
        assert "EMERGENCY_OFF" in document["workers"][2]["why"]
        status = await neutralize([*places, deaf], "status", document["order"])
        assert status.exit_code == 1
        assert "no order" in status.stdout
    other = key_file(tmp_path / "other.pem", private_pem(OTHER_KEY))
    refused, document = await began(places, other)
    assert refused.exit_code == 1
    assert all("ORDER_KEY_UNKNOWN" in row["why"] for row in document["workers"])


async def test_an_end_by_a_key_that_is_not_obeyed_is_no_success(
    places: list[Place], key: str, tmp_path: Path
) -> None:
    """Also where the order doesn't run there anyway: nobody would notice until it does."""
    _, document = await began(places, key)
    other = key_file(tmp_path / "other.pem", private_pem(OTHER_KEY))
    for order in (document["order"], "0b7e5a3c-1111-4222-8333-444455556666"):
        refused = await neutralize(places, "end", order, "--key", other)
        assert refused.exit_code == 1
        assert "ORDER_KEY_UNKNOWN" in refused.stdout
    for one, _ in places:
        assert [shown["running"] for shown in (await one.standing())["orders"]] == [True]
