"""The system that journeys share: one that breaks it mends it, or it is mended for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.system import System, running
from tests.vendor import Vendor


@pytest.fixture(scope="package")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Everything, with three workers, for all journeys of this process."""
    with running(tmp_path_factory.mktemp("system"), workers=3) as started:
        yield started


@pytest.fixture
def system(shared_system: System) -> System:
    """Everything, and everything of it running, whatever the last journey did to it."""
    shared_system.mend()
    return shared_system


@pytest.fixture
async def vendor(system: System) -> AsyncIterator[Vendor]:
    """A vendor that knows two of the workers."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(system.client(worker)) for worker in range(2)]
        yield Vendor(clients, system.ledger)
