"""Fan-out: a policy's changed terms are brought to every license below its version.

Nothing about it is kept anywhere but in the ledger: an index holds each policy's licenses by the
version of the terms that they have, and whatever is below the policy's is behind. So it is
resumed by looking, a second change overtakes the first, and a license that was issued meanwhile
with older terms is found by the next look. Every worker does it, each on licenses picked at
random; the command's id is a function of license, policy and version, so that what two of them
do is one change.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from api.catalog.reading import Catalog
from api.clock import Clock
from api.logs import say
from api.problems import Problem
from api.redis_link import Link
from api.replicas import Replicas
from api.verdicts import Verdicts
from ledger.domain import identifiers
from ledger.domain.catalog.entities import Policy
from ledger.domain.events import Event, TermsChanged
from ledger.domain.identifiers import Pepper
from projector.read_model.keys import CATALOG, Keys

ACTOR: Final = "policy-fan-out"
EVERY_S: Final = 5.0
LOOK_S: Final = 0.2
BATCH: Final = 256
AT_ONCE: Final = 32
PATIENCE_S: Final = 30.0
DECIDED_S: Final = 5.0

_log: Final = logging.getLogger(__name__)
_encoder: Final = msgspec.json.Encoder(order="sorted")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a policy's terms have come: all its licenses, and those that are behind."""

    version: int
    licenses: int
    behind: int


class FanOut:
    """Brings changed terms to licenses. `run` goes on until cancelled, whatever is away."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        replicas: Replicas,
        verdicts: Verdicts,
        pepper: Pepper,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._replicas = replicas
        self._verdicts = verdicts
        self._pepper = pepper
        self._clock = clock
        # Licenses that did not follow, and until when they are left alone: frozen ones.
        self._stuck: dict[tuple[str, int], float] = {}

    async def run(self) -> None:
        """Look after each change of the catalog, and every few seconds besides."""
        seen, looked = 0, float("-inf")
        while True:
            position = max(each.position[CATALOG] for each in self._replicas.standings)
            if position != seen or time.monotonic() - looked > EVERY_S:
                seen, looked = position, time.monotonic()
                try:
                    for policy in await self._catalog.policies():
                        await self.apply(policy)
                except Problem as problem:
                    say(_log, logging.INFO, "fan-out waits", code=problem.code)
                except Exception:  # noqa: BLE001 - whatever it is, the next look begins anew
                    _log.exception("a fan-out failed, it goes on with the next look")
            await asyncio.sleep(LOOK_S * (0.5 + random.random()))  # noqa: S311 - so that not all look at once

    async def progress(self, policy: Policy) -> Progress:
        """Count the policy's licenses, and those that are behind. Raises a 503 `Problem`."""

        async def counted(names: Sequence[Keys], link: Link) -> Progress:
            below = f"({policy.version}"
            indexes = [keys.licenses_by_version(policy.id) for keys in names]
            replies = await link.ask(
                [("ZCARD", index) for index in indexes]
                + [("ZCOUNT", index, "-inf", below) for index in indexes]
            )
            return Progress(
                version=policy.version,
                licenses=sum(replies[: len(names)]),
                behind=sum(replies[len(names) :]),
            )

        return await self._replicas.from_one(counted)

    async def apply(self, policy: Policy) -> None:
        """Bring the policy's terms to all that are behind, until none is. Raises a `Problem`."""
        told = False
        while policy.version:
            behind = await self._behind(policy)
            if not behind:
                break
            if not told:
                say(_log, logging.INFO, "fan-out", policy=policy.id, version=policy.version)
                told = True
            at_once = asyncio.Semaphore(AT_ONCE)
            changes = (self._change(policy, each, at_once) for each in behind)
            for failed in await asyncio.gather(*changes, return_exceptions=True):
                if failed is not None:
                    raise failed
            policy = await self._catalog.entity(Policy, policy.id, account=policy.account) or policy
        if told:
            say(_log, logging.INFO, "fan-out done", policy=policy.id, version=policy.version)

    async def _behind(self, policy: Policy) -> list[str]:
        """Some licenses below the policy's version, picked at random."""

        async def read(names: Sequence[Keys], link: Link) -> list[str]:
            below = f"({policy.version}"
            indexes = [keys.licenses_by_version(policy.id) for keys in names]
            counts = await link.ask([("ZCOUNT", index, "-inf", below) for index in indexes])
            each = max(1, BATCH // max(1, sum(count > 0 for count in counts)))
            replies = await link.ask(
                [
                    ("ZRANGEBYSCORE", index, "-inf", below, "LIMIT", _start(count, each), each)
                    for index, count in zip(indexes, counts, strict=True)
                    if count
                ]
            )
            return [member.decode() for members in replies for member in members]

        now = time.monotonic()
        self._stuck = {name: until for name, until in self._stuck.items() if until > now}
        found = await self._replicas.from_one(read)
        return [id_ for id_ in found if (id_, policy.version) not in self._stuck]

    async def _change(self, policy: Policy, license_: str, at_once: asyncio.Semaphore) -> None:
        """Give a license the policy's terms; it is left alone for a while where it can't be."""
        async with at_once:
            event = await self._event(policy, license_)
            deadline = asyncio.get_running_loop().time() + DECIDED_S
            try:
                await self._verdicts.decide(event, None, deadline)
            except Problem as problem:
                if problem.code not in {"LICENSE_FROZEN", "VERDICT_FORGOTTEN"}:
                    raise
            self._stuck[license_, policy.version] = time.monotonic() + PATIENCE_S

    async def _event(self, policy: Policy, license_: str) -> Event:
        rules = await self._catalog.rules()
        change = f"{policy.id}:{policy.version}"
        data = TermsChanged(terms=policy.terms)
        if rules > 1:
            data = TermsChanged(terms=policy.terms, policy=policy.id)
        return Event(
            id=identifiers.command_id(self._pepper, policy.account, ACTOR, license_, change),
            source=ACTOR,
            license=license_,
            time_ms=self._clock.write_ms,
            actor=ACTOR,
            content_digest=identifiers.content_digest(self._pepper, change.encode()),
            data=data,
            rules=rules,
            policy_version=policy.version,
        )


def _start(count: int, wanted: int) -> int:
    return random.randrange(max(1, count - wanted + 1))  # noqa: S311 - to be elsewhere than others
