"""The system that journeys share; one that breaks it starts its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.system import System, running
from tests.vendor import Vendor


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything, with two workers, for the tests of one file."""
    with running(tmp_path_factory.mktemp("system")) as started:
        yield started


@pytest.fixture
def own_system(tmp_path: Path) -> Iterator[System]:
    """Everything, with three workers, for one test to break."""
    with running(tmp_path, workers=3) as started:
        yield started


@pytest.fixture
async def vendor(system: System) -> AsyncIterator[Vendor]:
    """A vendor that knows both workers."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(system.client(worker))
            for worker in range(len(system.workers))
        ]
        yield Vendor(clients, system.ledger)
