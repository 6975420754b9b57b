"""Three brokers under load: one is killed, replaced empty; another one is killed and comes back."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from redis import Redis

from ledger.domain.identifiers import partition_of
from ledger.event_log.port import LogUnavailable, Topic, Topics
from ledger.event_log.topics import Described, describe
from projector.read_model.keys import Keys
from projector.views.documents import read_license
from tests.servers import KafkaServer
from tests.system import System, running
from tests.vendor import Vendor, machine_body

LICENSES: Final = 4
ACTIVATIONS_S: Final = 20
CHECKS_S: Final = 100
BACK_S: Final = 200.0
"""Ten times the 20 s within which writing goes on after a broker is gone."""
AGE_MAX_MS: Final = 60_000
"""Of a check while a partition has no leader: ten times the session and the election of before."""
FRESH_MS: Final = 10_000
"""Of a check when all is well: ten times the second that is promised."""
QUIET_S: Final = 5.0
_ACTIVATED: Final = re.compile(r"^(\S+Z) .*Performing controller activation", re.MULTILINE)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, workers=2, is_cluster=True) as started:
        yield started


@dataclass(slots=True)
class Load:
    """Activations and checks at fixed rates, however long the answers take, until `stop`."""

    vendor: Vendor
    licenses: list[dict[str, str]]
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)
    """License and machine of each activation that was answered 201, by its fingerprint."""
    asked: int = 0
    granted_at: float = 0.0
    unanswered_at: list[float] = field(default_factory=list)
    """When an activation was answered 503, or not at all."""
    checks: Counter[object] = field(default_factory=Counter)
    """How many checks had each answer: a code, a status, an error's name."""
    oldest_ms: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _stopped: bool = False

    async def run(self) -> None:
        started, ticks = time.monotonic(), 0
        while not self._stopped:
            self._begin(self._check(ticks))
            if ticks % (CHECKS_S // ACTIVATIONS_S) == 0:
                self._begin(self._activate(ticks))
            ticks += 1
            await asyncio.sleep(max(0.0, started + ticks / CHECKS_S - time.monotonic()))
        await asyncio.gather(*self._tasks)

    def stop(self) -> None:
        self._stopped = True

    def _begin(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check(self, number: int) -> None:
        client = self.vendor.clients[number % 2]
        key = self.licenses[number % LICENSES]["key"]
        body = {"meta": {"key": key, "scope": {"fingerprint": "first"}}}
        try:
            answer = await client.post("/v1/licenses/actions/validate-key", json=body)
        except httpx.HTTPError as error:
            self.checks[type(error).__name__] += 1
            return
        if answer.status_code != httpx.codes.OK:
            self.checks[answer.status_code] += 1
            return
        meta = answer.json()["meta"]
        self.checks[meta["code"]] += 1
        self.oldest_ms = max(self.oldest_ms, meta["ageMs"])

    async def _activate(self, number: int) -> None:
        """Ask until it is answered, always with one Idempotency-Key."""
        self.asked += 1
        license_, fingerprint = self.licenses[number % LICENSES]["id"], f"f-{number}"
        body, headers = machine_body(license_, fingerprint), {"Idempotency-Key": uuid4().hex}
        tried = number
        while True:
            with suppress(httpx.HTTPError):
                client = self.vendor.clients[tried % 2]
                answer = await client.post("/v1/machines", json=body, headers=headers)
                if answer.status_code == httpx.codes.CREATED:
                    self.granted_at = time.monotonic()
                    self.acknowledged[fingerprint] = (license_, answer.json()["data"]["id"])
                    return
                assert answer.status_code in {429, 503}, answer.text
            self.unanswered_at.append(time.monotonic())
            tried += 1
            await asyncio.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_one_of_three_is_killed_and_replaced_and_another_one_comes_back(
    system: System,
) -> None:
    assert system.cluster is not None
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(system.client(n)) for n in (0, 1)]
        vendor = Vendor(clients, system.ledger)
        licenses = [await _license(vendor) for _ in range(LICENSES)]
        load = Load(vendor, licenses)
        running_load = asyncio.create_task(load.run())
        await asyncio.sleep(QUIET_S)
        assert load.checks.keys() == {"VALID"}

        # The active controller, and with it the leader of a third of the partitions.
        first = _active_controller(system.cluster.nodes)
        await _killed(first, load)
        assert (await _described(system)).lacking.keys() == {first.node}
        await asyncio.to_thread(first.wipe)
        await asyncio.to_thread(system.cluster.prepare)
        await asyncio.to_thread(first.start)
        await _whole(system)

        # The one that came back empty leads nothing yet.
        leaders, controller = await _leaders(system), _active_controller(system.cluster.nodes)
        second = next(
            node for node in system.cluster.nodes if node.node in leaders and node is not controller
        )
        await _killed(second, load)
        await asyncio.to_thread(second.start)
        await _whole(system)

        # Nothing is left of it: as before.
        load.oldest_ms = 0
        unanswered = len(load.unanswered_at)
        await asyncio.sleep(QUIET_S)
        assert load.oldest_ms <= FRESH_MS
        load.stop()
        async with asyncio.timeout(BACK_S):
            await running_load
        assert len(load.unanswered_at) == unanswered
        assert load.checks.keys() == {"VALID"}, load.checks
        assert len(load.acknowledged) == load.asked
        await asyncio.to_thread(system.wait_level)
        _all_there_once(system, load)


async def _killed(node: KafkaServer, load: Load) -> None:
    """Kill a broker, and see writing go on in time."""
    await asyncio.to_thread(node.kill)
    at = time.monotonic()
    async with asyncio.timeout(BACK_S):
        # Nobody has waited lately, and somebody was answered since.
        while load.granted_at < at or time.monotonic() < _last(load, at) + QUIET_S:
            await asyncio.sleep(0.1)
    assert _last(load, at) - at <= BACK_S
    assert load.oldest_ms <= AGE_MAX_MS


def _last(load: Load, at: float) -> float:
    return load.unanswered_at[-1] if load.unanswered_at else at


async def _license(vendor: Vendor) -> dict[str, str]:
    issued = await vendor.issue(maxMachines=1_000_000)
    assert (await vendor.activate(issued["id"], "first")).status_code == httpx.codes.CREATED
    return {"id": issued["id"], "key": issued["attributes"]["key"]}


def _active_controller(nodes: list[KafkaServer]) -> KafkaServer:
    """The one that has become it last, by what the controllers have written."""
    since = {
        node.node: max(_ACTIVATED.findall(node.log_path.read_text(errors="replace")), default="")
        for node in nodes
    }
    return max(nodes, key=lambda node: since[node.node])


async def _leaders(system: System) -> set[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=system.settings.kafka.bootstrap)
    try:
        await admin.start()
        [described] = await admin.describe_topics([Topics().name(Topic.LICENSE_EVENTS)])
        return {one["leader"] for one in described["partitions"]}
    finally:
        await admin.close()


async def _described(system: System) -> Described:
    while True:
        with suppress(LogUnavailable):
            return await describe(system.settings.kafka, Topics())
        await asyncio.sleep(0.2)


async def _whole(system: System) -> None:
    """Wait until every broker has a full copy of everything it is to have."""
    async with asyncio.timeout(BACK_S):
        while (described := await _described(system)).lacking:
            await asyncio.sleep(0.2)
    assert (described.copies, described.refusing) == (3, 0)
    assert not any(described.differing.values())


def _all_there_once(system: System, load: Load) -> None:
    """Each replica has every machine that was acknowledged, and no seat more."""
    held = Counter(license_ for license_, _ in load.acknowledged.values())
    for replica in system.replicas:
        with Redis(port=replica.port, socket_timeout=5) as client:
            for license_ in load.licenses:
                id_ = license_["id"]
                keys = Keys(partition_of(id_, system.settings.partitions))
                document = client.get(keys.license(id_))
                assert isinstance(document, bytes)
                assert read_license(document).seats_held == held[id_] + 1
                machines = {one for of, one in load.acknowledged.values() if of == id_}
                names = [keys.machine(machine) for machine in machines]
                assert client.exists(*names) == len(names) == held[id_]
