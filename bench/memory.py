"""memory_vs_json: what licenses take in a replica, beside what they are over HTTP."""

from __future__ import annotations

import asyncio

from orjson import dumps
from redis import Redis

from bench.figures import Row
from bench.system import Bench
from tests.vendor import Vendor

LICENSES = 1_000
MACHINES = 2
AT_ONCE = 50


def memory_vs_json(bench: Bench) -> Row:
    """Bytes a license with two machines, all its keys and lists, beside those of its JSON."""
    before = _memory(bench)
    json_bytes = asyncio.run(_licensed(bench))
    bench.system.wait_level()
    ours = (_memory(bench) - before) / LICENSES
    return Row(
        id="memory_vs_json",
        ours=ours,
        baseline=json_bytes,
        ratio=ours / json_bytes,
        unit="bytes",
        runs=1,
        bar="≤ 2.5",
        note=f"{LICENSES} licenses, each with {MACHINES} machines",
    )


def _memory(bench: Bench) -> int:
    with Redis.from_url(bench.system.replicas[0].url, socket_timeout=5) as client:
        info = client.info("memory")
        assert isinstance(info, dict)
        return int(info["used_memory"])


async def _licensed(bench: Bench) -> float:
    """Issue licenses and activate machines; how long a license's and its machines' JSON is."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with bench.system.client() as client:
        vendor = Vendor([client], bench.system.ledger)

        async def one(number: int) -> int:
            async with gate:
                id_ = str((await vendor.issue(name=f"weighed {number}"))["id"])
                machines = [
                    (await vendor.activate(id_, f"{number}, machine {at}")).json()["data"]
                    for at in range(MACHINES)
                ]
                return sum(len(dumps(one)) for one in (await vendor.license(id_), *machines))

        return sum(await asyncio.gather(*map(one, range(LICENSES)))) / LICENSES
