"""A thousand want the last ten seats, at two workers at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from tests.system import System
from tests.vendor import Vendor

ASKING = 1_000
FREE = 10
CLIENTS = 20
"""Of each worker: a client with many connections is slow to hand them out."""


async def test_exactly_the_free_seats_are_granted(system: System, vendor: Vendor) -> None:
    license_ = await vendor.issue(maxMachines=FREE)
    id_, key = license_["id"], license_["attributes"]["key"]

    async with AsyncExitStack() as stack:
        vendors = [
            Vendor(
                [
                    await stack.enter_async_context(system.client(worker, timeout_s=30))
                    for worker in ((0, 1) if number % 2 else (1, 0))
                ],
                system.ledger,
            )
            for number in range(CLIENTS)
        ]

        async def activate(number: int) -> tuple[str, int, str]:
            fingerprint = f"machine-{number:04d}"
            answer = await vendors[number % CLIENTS].activate(id_, fingerprint)
            code = "" if answer.status_code == 201 else answer.json()["errors"][0]["code"]
            return fingerprint, answer.status_code, code

        answers = await asyncio.gather(*(activate(number) for number in range(ASKING)))

    counted = Counter((status, code) for _, status, code in answers)
    assert counted == {(201, ""): FREE, (422, "MACHINE_LIMIT_EXCEEDED"): ASKING - FREE}
    read = (await vendor.license(id_))["attributes"]
    assert read["seats"]["used"] == FREE
    assert read["seats"]["peak"] == FREE
    assert read["refusals"] == {"machine-limit-exceeded": ASKING - FREE}
    for fingerprint, status, _ in answers[:: ASKING // 100]:
        meta = (await vendor.check(key, fingerprint=fingerprint))["meta"]
        assert meta["code"] == ("VALID" if status == 201 else "FINGERPRINT_SCOPE_MISMATCH")
