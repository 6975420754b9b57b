"""One ledger for all rows that leave it whole, and the table when all are through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.faults import results
from tests.faults.ledger import Ledger, running_ledger, system_in


@pytest.fixture(scope="session")
def table() -> Iterator[None]:
    """Write the page; a row that this run has not shown is as an earlier one has left it."""
    yield
    results.write_table()


@pytest.fixture(scope="session")
def shared_ledger(table: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """A ledger that goes from row to row."""
    loop = asyncio.new_event_loop()
    running = running_ledger(system_in(tmp_path_factory.mktemp("faults")), seed=1)
    try:
        yield loop.run_until_complete(running.__aenter__())
    finally:
        loop.run_until_complete(running.__aexit__(None, None, None))
        loop.close()


@pytest.fixture
def ledger(shared_ledger: Ledger) -> Ledger:
    """The shared ledger, whole again, whatever the last row did to it."""
    shared_ledger.system.mend()
    return shared_ledger
