"""A worker on two real Redis, over a log in memory that this process folds."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from api.app import build_app, build_services
from api.catalog.reading import Catalog
from api.checking import Check, Checker, Look
from api.logs import AccessLog
from api.problems import Problem
from api.replicas import Replicas
from api.services import Services
from api.settings import ApiSettings, read_api_settings
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Record, Topic
from ledger.event_log.seeding import seed_catalog
from projector.read_model.asked import Values
from projector.read_model.lmdb import LmdbReadModel
from projector.read_model.redis import RedisReadModel
from tests.api.following import Follower
from tests.api.lanes import Lanes, body
from tests.api.ordering import BY_KEY, until
from tests.api.telling import complaint
from tests.servers import RedisServer
from tests.vendor import Vendor

PARTITIONS = 4
TOKEN = "a-token-that-nobody-guesses"


class Worker:
    """One API worker in this process: its parts, and a client with and one without the token."""

    def __init__(self, services: Services, settings: ApiSettings) -> None:
        self.services = services
        self.settings = settings
        self.access_log = io.StringIO()
        self.lines = AccessLog(enabled=True, stream=self.access_log)
        self.app = build_app(services, settings, self.lines)
        self.client = self._client({"Authorization": f"Bearer {TOKEN}"})
        self.stranger = self._client({})
        self.vendor = Vendor([self.client], services.catalog.ledger)

    def _client(self, headers: Mapping[str, str]) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url="http://ledger.test", headers=headers, timeout=30
        )

    @property
    def replicas(self) -> Replicas:
        return self.services.replicas

    @property
    def catalog(self) -> Catalog:
        return self.services.catalog

    async def stop(self) -> None:
        self.lines.flush()
        await self.client.aclose()
        await self.stranger.aclose()
        await self.replicas.stop()


class LocalLedger:
    """A log, two replicas and their followers; workers as many as a test asks for."""

    def __init__(self, log: MemoryLog, servers: list[RedisServer], first: Genesis) -> None:
        self.log = log
        self.servers = servers
        self.first = first
        self.followers = [Follower(log, RedisReadModel(server.url), first) for server in servers]
        self._stack = AsyncExitStack()

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "LEDGER_KAFKA": "127.0.0.1:1",
            "LEDGER_PARTITIONS": str(PARTITIONS),
            "LEDGER_REPLICAS": ",".join(server.url for server in self.servers),
            "LEDGER_LOCAL": "1",
            "LEDGER_PEPPER": PEPPER,
            "LEDGER_SEAL_KEYS": f"k1:{'5e' * 32}",
            "LEDGER_API_TOKEN_DIGESTS": sha256(TOKEN.encode()).hexdigest(),
            "LEDGER_API_OWN_PORT": "1",
            **more,
        }

    async def worker(self, **more: str) -> Worker:
        """Start a worker; it ends with the ledger."""
        settings = read_api_settings(self.environment(**more))
        shared = settings.ledger
        replicas = Replicas(shared.replicas, shared.partitions, shared.local_copy)
        await replicas.start()
        services = build_services(
            settings,
            catalog=Catalog(
                ledger=self.first.ledger,
                settings=shared.catalog,
                replicas=replicas,
                log=self.log,
            ),
            log=self.log,
            replicas=replicas,
        )
        worker = Worker(services, settings)
        self._stack.push_async_callback(worker.stop)
        return worker

    async def copied(self, folder: Path) -> None:
        """Make a local copy of all that is in the log; nobody keeps it level."""
        follower = Follower(self.log, LmdbReadModel(folder), self.first)
        await follower.start()
        await follower.stop()

    async def ends(self) -> dict[int, int]:
        """How many events there are in each partition."""
        return await self.log.ends(Topic.LICENSE_EVENTS)

    async def records_of_the_catalog(self) -> list[Record]:
        """All that was ever appended to the catalog."""
        batches = self.log.read(Topic.CATALOG_EVENTS, 0, start=0)
        return [record async for batch in batches for record in batch]

    async def stop(self) -> None:
        await self._stack.aclose()
        for follower in self.followers:
            await follower.stop()


PEPPER = "ab" * 32


@pytest.fixture(autouse=True)
def _errors_tell_all(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test is about: each error that it has caused says what is wrong and what to do."""
    complaints: list[str] = []
    rendered = Problem.document

    def document(problem: Problem, request_id: str) -> bytes:
        found = complaint(problem)
        if found is not None:
            complaints.append(found)
        return rendered(problem, request_id)

    monkeypatch.setattr(Problem, "document", document)
    yield
    assert not complaints, complaints


@pytest.fixture(scope="session")
def redis_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Two Redis for all tests of the API; whoever harms one mends it, or it is mended here."""
    servers = [RedisServer(tmp_path_factory.mktemp(f"redis-{name}")) for name in "ab"]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


@asynccontextmanager
async def new_ledger(redis_pair: list[RedisServer]) -> AsyncIterator[LocalLedger]:
    """A new ledger: an empty log with genesis, two empty replicas that follow it."""
    for server in redis_pair:
        server.thaw()
        if not server.running:
            server.start()
        with Redis(port=server.port, socket_timeout=5) as client:
            client.flushall()
    log = MemoryLog(PARTITIONS)
    settings = read_api_settings(LocalLedger(log, redis_pair, _NOBODY).environment())
    first = await genesis.initialize(
        log, pepper_check=settings.ledger.pepper.check_value, partitions=PARTITIONS
    )
    await seed_catalog(log, settings.ledger, first.ledger)
    started = LocalLedger(log, redis_pair, first)
    try:
        for follower in started.followers:
            await follower.start()
        yield started
    finally:
        for server in redis_pair:
            server.thaw()
        await started.stop()


@pytest.fixture
async def ledger(redis_pair: list[RedisServer]) -> AsyncIterator[LocalLedger]:
    async with new_ledger(redis_pair) as started:
        yield started


_NOBODY = Genesis(ledger="0" * 36, partition=0, partitions=PARTITIONS, pepper_check="0" * 32)


@pytest.fixture
async def worker(ledger: LocalLedger) -> Worker:
    return await ledger.worker()


@pytest.fixture
async def issued(worker: Worker) -> dict[str, Any]:
    license_ = await worker.vendor.issue(maxMachines=50)
    assert (await worker.vendor.activate(license_["id"], "f")).status_code == 201
    return license_


@pytest.fixture
async def lanes(
    worker: Worker, issued: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lanes]:
    found = Lanes(worker)
    at_once = Checker.seen_at_once

    def counted(checker: Checker, look: Look, values: Values) -> Check | None:
        made = at_once(checker, look, values)
        found.taken += made is not None
        return made

    monkeypatch.setattr(Checker, "seen_at_once", counted)
    await until(lambda: worker.replicas.standings[0].serving == 4, what="A in service")
    await found.start()
    # The first one finds out whose the host is.
    await found.ordinary.post(BY_KEY, json=body(issued))
    yield found
    await found.stop()
