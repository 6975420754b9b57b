"""A whole ledger of real processes for journeys: brokers, two replicas, projectors, API workers.

The same processes as `ledger up`'s, each in its own hands: a journey kills, freezes and starts
them one by one, and addresses each API worker on a port of its own.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from cli.patience import patiently
from ledger.domain.identifiers import slug_id
from ledger.event_log.genesis import Genesis, initialize
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from ledger.event_log.seeding import seed_catalog
from ledger.event_log.topics import create_topics
from ledger.settings import Settings, read_settings
from projector.read_model.keys import FIRST_GENERATION, Keys, serving
from projector.views.documents import read_head
from tests.ports import free_ports
from tests.servers import (
    ROOT,
    START_TIMEOUT_S,
    KafkaCluster,
    KafkaServer,
    RedisServer,
    Server,
    wait_until,
)

TOKEN = "admin-" + secrets.token_hex(16)
PEPPER = secrets.token_hex(32)
SEAL_KEYS = f"k1:{secrets.token_hex(32)}"


class Program(Server):
    """One of our own processes, `python -m <module>`, healthy when /health/live answers."""

    def __init__(self, directory: Path, module: str, *, port: int, env: Mapping[str, str]) -> None:
        super().__init__(directory, port=port, env=env)
        self.module = module

    @property
    def url(self) -> str:
        """Where it answers HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def _prepare(self) -> list[str]:
        return [sys.executable, "-m", self.module]

    def answers(self, path: str) -> bool:
        """Whether a GET is answered 200."""
        try:
            return httpx.get(self.url + path, timeout=1).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def exit_code(self, *, timeout_s: float = 60.0) -> int:
        """Wait until it has ended by itself."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout_s)

    def get(self, path: str) -> dict[str, Any]:
        """What it answers to a GET."""
        answered: dict[str, Any] = httpx.get(self.url + path, timeout=5).json()
        return answered

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
        return {**kept, "PYTHONPATH": str(ROOT)}

    def is_ready(self) -> bool:
        return self.answers("/health/ready" if self.module == "api" else "/health/live")


class System:
    """Broker, replicas A and B, a projector for each, `workers` API workers; started by `start`.

    `terms`: LEDGER_POLICY_* of the one policy. `local_copy`: whether the workers have one, and a
    third projector that keeps it level. `first_replica`: in place of an ordinary Redis for A.
    `settings`: further LEDGER_* of all processes. `is_cluster`: whether there are three brokers.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int = 2,
        terms: Mapping[str, str] | None = None,
        local_copy: bool = False,
        first_replica: RedisServer | None = None,
        settings: Mapping[str, str] | None = None,
        is_cluster: bool = False,
    ) -> None:
        self.directory = directory
        self.cluster = KafkaCluster(directory) if is_cluster else None
        self.brokers = self.cluster.nodes if self.cluster else [KafkaServer(directory / "kafka")]
        self.kafka = self.brokers[0]
        self.replicas = [
            first_replica or RedisServer(directory / "redis-a"),
            RedisServer(directory / "redis-b"),
        ]
        self.env = {
            "LEDGER_KAFKA": ",".join(broker.bootstrap for broker in self.brokers),
            "LEDGER_REPLICAS": ",".join(replica.url for replica in self.replicas),
            "LEDGER_PEPPER": PEPPER,
            "LEDGER_SEAL_KEYS": SEAL_KEYS,
            "LEDGER_API_TOKEN_DIGESTS": sha256(TOKEN.encode()).hexdigest(),
            "LEDGER_LOCAL": "1",
            **(terms or {}),
            **(settings or {}),
        }
        if local_copy:
            self.env["LEDGER_LOCAL_COPY"] = str(directory / "local-copy")
        self.ledger = ""
        """The ledger's id, once it is started."""
        names = ["A", "B", *(["LOCAL"] if local_copy else [])]
        self.projectors = [self.projector(name) for name in names]
        self.workers = [self._worker(number) for number in range(workers)]

    @property
    def settings(self) -> Settings:
        """The settings that all of its processes run with."""
        return read_settings(self.env)

    @property
    def account(self) -> str:
        """Id of the account that the settings name."""
        return slug_id(self.ledger, "account", self.settings.catalog.account)

    @property
    def product(self) -> str:
        """Id of the product that the settings name."""
        return slug_id(self.ledger, "product", self.settings.catalog.product)

    @property
    def servers(self) -> list[Server]:
        """All processes, in the order of their starting."""
        return [*self.brokers, *self.replicas, *self.projectors, *self.workers]

    def start(self) -> None:
        """Start everything, with topics and genesis, until every worker is ready."""
        self._start_servers()
        self.ledger = asyncio.run(self._initialize()).ledger
        self.start_programs()

    def start_programs(self) -> None:
        """Start projectors and workers until all of them are ready."""
        programs = [*self.projectors, *self.workers]
        for program in programs:
            program.start(wait=False)
        for program in programs:
            program.wait_ready()

    def kill_everything(self) -> None:
        """SIGKILL to every process before waiting for any: the machine's plug."""
        for server in self.servers:
            if server.running:
                os.killpg(server.pid, signal.SIGKILL)
        for server in self.servers:
            server.kill()

    def restart_everything(self) -> None:
        """Start all processes again on their data and ports."""
        self._start_servers()
        self.start_programs()

    def _start_servers(self) -> None:
        """Start brokers and replicas until every broker is ready."""
        if self.cluster is not None:
            self.cluster.prepare()
        for server in (*self.brokers, *self.replicas):
            server.start(wait=False)
        for broker in self.brokers:
            # Three start at each other's expense.
            broker.wait_ready(timeout_s=START_TIMEOUT_S * len(self.brokers))

    def mend(self) -> None:
        """Thaw what is frozen and start what is down, until every worker is ready."""
        for server in self.servers:
            server.thaw()
        down = [server for server in self.servers if not server.running]
        for server in down:
            server.kill()
            server.start(wait=False)
            if server in self.brokers:
                server.wait_ready()
        for server in down:
            server.wait_ready()

    def wait_level(self) -> None:
        """Wait until both replicas have folded all that is in the log now."""
        ends = asyncio.run(self._ends())
        for replica in self.replicas:
            with Redis.from_url(replica.url, socket_timeout=2) as client:
                level = partial(_is_level, client, ends)
                wait_until(level, what=f"{replica.url} level", timeout_s=60)

    def stop(self) -> None:
        """End everything, in reverse order."""
        for server in reversed(self.servers):
            server.kill()

    def client(self, worker: int = 0, *, timeout_s: float = 10.0) -> httpx.AsyncClient:
        """HTTP client of one worker, with the admin token."""
        return httpx.AsyncClient(
            base_url=self.workers[worker].url,
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=64),
        )

    async def _initialize(self) -> Genesis:
        settings = self.settings
        await create_topics(
            settings.kafka, partitions=settings.partitions, replication=len(self.brokers)
        )
        log = KafkaLog(settings.kafka)
        try:
            # A broker that has just begun is slow at times.
            first = await patiently(
                lambda: initialize(
                    log, pepper_check=settings.pepper.check_value, partitions=settings.partitions
                )
            )
            await patiently(lambda: seed_catalog(log, settings, first.ledger))
            return first
        finally:
            await log.close()

    async def _ends(self) -> dict[int, int]:
        log = KafkaLog(self.settings.kafka)
        try:
            return await log.ends(Topic.LICENSE_EVENTS)
        finally:
            await log.close()

    def projector(self, name: str, *, slot: int = 0) -> Program:
        """A projector of a replica, not started yet."""
        (port,) = free_ports(1)
        own = {"LEDGER_REPLICA": name, "LEDGER_SLOT": str(slot), "LEDGER_METRICS_PORT": str(port)}
        folder = self.directory / f"projector-{name.lower()}{slot or ''}"
        return Program(folder, "projector", port=port, env={**self.env, **own})

    def _worker(self, number: int) -> Program:
        (port,) = free_ports(1)
        folder = self.directory / f"api-{number}"
        return Program(folder, "api", port=port, env={**self.env, "LEDGER_API_OWN_PORT": str(port)})


def _is_level(client: Redis, ends: Mapping[int, int]) -> bool:
    return all(_position(client, partition) >= end for partition, end in ends.items())


def _position(client: Redis, partition: int) -> int:
    """Where what serves stands."""
    serves = client.get(serving(partition))
    generation = serves.decode() if isinstance(serves, bytes) else FIRST_GENERATION
    head = client.get(Keys(partition, generation).head)
    return read_head(head).position if isinstance(head, bytes) else 0


@contextmanager
def running(
    directory: Path,
    *,
    workers: int = 2,
    terms: Mapping[str, str] | None = None,
    local_copy: bool = False,
    settings: Mapping[str, str] | None = None,
    is_cluster: bool = False,
) -> Iterator[System]:
    """Start a system; it is stopped however the block ends."""
    system = System(
        directory,
        workers=workers,
        terms=terms,
        local_copy=local_copy,
        settings=settings,
        is_cluster=is_cluster,
    )
    try:
        system.start()
        yield system
    finally:
        system.stop()
