"""Fan-out: a policy's changed terms are brought to every license below its version.

Nothing about it is kept anywhere but in the ledger: an index holds each policy's licenses by the
version of the terms that they have, and whatever is below the policy's is behind. So it is
resumed by looking, a second change overtakes the first, and a license that was issued meanwhile
with older terms is found by the next look. Every worker does it, each on licenses picked at
random; the command's id is a function of license, policy and version, so that what two of them
do is one change.

Live traffic comes first: a worker has few changes in progress at once, fewer where it writes for
anybody else, rests as long as each batch took or longer, and lets go of it for a while when the
ledger refuses a change or has many writes waiting. What clients are limited to doesn't limit it.
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
from api.problems import UNAVAILABLE, Problem
from api.redis_link import Link
from api.replicas import Replicas
from api.verdicts import Verdicts, rules_not_active
from ledger.domain import identifiers
from ledger.domain.catalog.entities import Policy
from ledger.domain.events import Event, TermsChanged
from ledger.domain.identifiers import Pepper
from ledger.domain.license import License
from projector.read_model.keys import CATALOG, Keys
from projector.views.documents import read_license

ACTOR: Final = "policy-fan-out"
EVERY_S: Final = 5.0
LOOK_S: Final = 0.2
BATCH: Final = 64
REST_MAX_S: Final = 1.0
WAITING_MAX: Final = 256
"""Writes that wait for their verdict, above which the fan-out makes none of its own."""
PATIENCE_S: Final = 30.0
"""How long a license that can't follow, or a policy whose terms can't be written, is left alone."""
DECIDED_S: Final = 5.0
POLICIES_AT_ONCE: Final = 64
WINDOWS_MAX: Final = 256
NAMING_RULES: Final = 2
"""First rules under which changed terms name their policy."""

_log: Final = logging.getLogger(__name__)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast it goes: licenses in a batch, changes in progress at once, rest by work."""

    batch: int
    at_once: int
    rest: float


ALONE: Final = Pace(batch=BATCH, at_once=16, rest=1.0)
BESIDE_OTHERS: Final = Pace(batch=16, at_once=2, rest=3.0)
CALM_S: Final = 5.0
"""Without a write of anybody else for this long a worker takes itself to be alone."""


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
        # Ids that are left alone at a version, and until when.
        self._left_alone: dict[tuple[str, int], float] = {}
        self._underway: dict[str, int] = {}
        self._own_writes = self._others_writes = 0
        self._others_wrote_at = float("-inf")

    async def run(self) -> None:
        """Look after each change of the catalog, and every few seconds besides."""
        seen, looked = -1, float("-inf")
        while True:
            overdue = time.monotonic() - looked > EVERY_S
            if overdue or seen not in {-1, self._position}:
                seen = self._position
                # After trouble only time brings it back, however often the catalog moves.
                seen = seen if await self._look() else -1
                looked = time.monotonic()
            await asyncio.sleep(LOOK_S * (0.5 + random.random()))  # noqa: S311 - so that not all look at once

    async def progress(self, policy: Policy) -> Progress:
        """Count the policy's licenses, and those that are behind. Raises a 503 `Problem`."""

        async def counted(names: Sequence[Keys], link: Link) -> Progress:
            replies = await link.ask(
                [("ZCARD", keys.licenses_by_version(policy.id)) for keys in names]
                + [_behind(policy, keys) for keys in names]
            )
            return Progress(
                version=policy.version,
                licenses=sum(replies[: len(names)]),
                behind=sum(replies[len(names) :]),
            )

        return await self._replicas.from_one(counted)

    @property
    def _position(self) -> int:
        """How far the catalog is, as it was last seen."""
        return max(standing.position[CATALOG] for standing in self._replicas.standings)

    async def _look(self) -> bool:
        """Bring terms to all that are behind; whether nothing was in the way."""
        try:
            while ids := await self._policies_behind():
                if not await self._bring(ids):
                    break
        except Problem as problem:
            say(_log, logging.INFO, "fan-out waits", code=problem.code)
            return False
        except Exception:  # noqa: BLE001 - whatever it is, a later look begins anew
            _log.exception("a fan-out failed, it goes on with a later look")
            return False
        return True

    async def _policies_behind(self) -> list[str]:
        """Ids of the policies that have licenses below their version, in no order."""
        now = time.monotonic()
        self._left_alone = {each: until for each, until in self._left_alone.items() if until > now}
        changed = [each for each in await self._catalog.policies() if each.version]
        found: list[Policy] = []
        for first in range(0, len(changed), POLICIES_AT_ONCE):
            found += await self._having_behind(changed[first : first + POLICIES_AT_ONCE])
        self._tell(found)
        random.shuffle(found)
        return [each.id for each in found if (each.id, each.version) not in self._left_alone]

    async def _having_behind(self, policies: Sequence[Policy]) -> list[Policy]:
        async def read(names: Sequence[Keys], link: Link) -> list[Policy]:
            each, commands = len(names), [_behind(one, keys) for one in policies for keys in names]
            counts = await link.ask(commands)
            return [
                policy
                for at, policy in enumerate(policies)
                if any(counts[at * each : (at + 1) * each])
            ]

        return await self._replicas.from_one(read)

    def _tell(self, behind: Sequence[Policy]) -> None:
        now = {policy.id: policy.version for policy in behind}
        for id_, version in now.items():
            if self._underway.get(id_) != version:
                say(_log, logging.INFO, "fan-out", policy=id_, version=version)
        for id_ in self._underway.keys() - now.keys():
            say(_log, logging.INFO, "fan-out done", policy=id_, version=self._underway[id_])
        self._underway = now

    async def _bring(self, ids: Sequence[str]) -> bool:
        """Give the policies a batch each in turn, until none gets on; whether any did.

        It ends when the catalog moves, too: another policy may have begun to be behind.
        """
        position, any_moved = self._position, False
        while ids and position == self._position:
            policies = await self._catalog.entities(ids)
            ids = [
                policy.id
                for policy in policies
                if isinstance(policy, Policy) and await self._batch(policy)
            ]
            any_moved = any_moved or bool(ids)
        return any_moved

    async def _batch(self, policy: Policy) -> bool:
        """Bring the policy's terms to some licenses; whether it may go on. Raises a `Problem`."""
        if self._replicas.passing.waiting >= WAITING_MAX:
            await asyncio.sleep(REST_MAX_S)
            return True
        pace = self._pace()
        started, waiting = time.monotonic(), (await self._licenses(policy))[: pace.batch]

        async def some() -> int:
            moved = 0
            try:
                while waiting:
                    moved += await self._change(policy, waiting.pop())
            except BaseException:
                # Nobody begins another one after trouble.
                waiting.clear()
                raise
            return moved

        outcomes = await asyncio.gather(
            *(some() for _ in range(pace.at_once)), return_exceptions=True
        )
        await asyncio.sleep(min(pace.rest * (time.monotonic() - started), REST_MAX_S))
        moved = False
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                self._refused(policy, outcome)
            else:
                moved = moved or outcome > 0
        return moved

    def _pace(self) -> Pace:
        """How fast it may go now: slower since this worker has written for somebody else."""
        others, now = self._verdicts.begun - self._own_writes, time.monotonic()
        if others != self._others_writes:
            self._others_writes, self._others_wrote_at = others, now
        return ALONE if now - self._others_wrote_at > CALM_S else BESIDE_OTHERS

    def _refused(self, policy: Policy, error: BaseException) -> None:
        """Leave a policy alone whose terms can't be written; raises what else there is."""
        if not isinstance(error, Problem) or error.status >= UNAVAILABLE:
            raise error
        if (policy.id, policy.version) not in self._left_alone:
            say(_log, logging.WARNING, "fan-out refused", policy=policy.id, code=error.code)
        self._leave_alone(policy.id, policy.version)

    def _leave_alone(self, id_: str, version: int) -> None:
        self._left_alone[id_, version] = time.monotonic() + PATIENCE_S

    async def _licenses(self, policy: Policy) -> list[str]:
        """Some licenses below the policy's version, picked at random, but those left alone."""

        async def read(names: Sequence[Keys], link: Link) -> list[str]:
            counts: list[int] = await link.ask([_behind(policy, keys) for keys in names])
            lagging = [(keys, count) for keys, count in zip(names, counts, strict=True) if count]
            if not lagging:
                return []
            each = max(1, BATCH // len(lagging))
            start = random.random()  # noqa: S311 - to be elsewhere than others
            for step in range(min(WINDOWS_MAX, -(-max(counts) // each))):
                commands = []
                for keys, count in lagging:
                    windows = -(-count // each)
                    at = (int(start * windows) + step) % windows
                    commands.append(_window(policy, keys, at * each, each))
                replies = await link.ask(commands)
                found = {member.decode() for members in replies for member in members}
                if left := [id_ for id_ in found if (id_, policy.version) not in self._left_alone]:
                    return left
            return []

        return await self._replicas.from_one(read)

    async def _change(self, policy: Policy, license_: str) -> bool:
        """Give a license the policy's terms; whether it got them. Raises a `Problem`."""
        name = f"{policy.id}:{policy.version}"
        while True:
            reading = await self._replicas.read(
                self._replicas.partition_of(license_), lambda keys: (keys.license(license_),)
            )
            [document] = reading.values
            if document is None or not self._can_follow(policy, read_license(document)):
                return False
            deadline = asyncio.get_running_loop().time() + DECIDED_S
            event = await self._event(policy, license_, name)
            self._own_writes += 1
            try:
                verdict = await self._verdicts.decide(event, None, deadline)
            except Problem as problem:
                if problem.code not in {"LICENSE_FROZEN", "VERDICT_FORGOTTEN"}:
                    raise
                self._leave_alone(license_, policy.version)
                return False
            if verdict.offset >= reading.position:
                return verdict.granted
            # An older verdict than what was read: the license had these terms once, and was then
            # issued anew or moved back with older ones. That is a change of its own.
            name = f"{policy.id}:{policy.version}:{verdict.offset}"

    def _can_follow(self, policy: Policy, license_: License) -> bool:
        """Whether a license is behind; a frozen one is, but nothing may be written of it."""
        if license_.status != "live" or license_.policy != policy.id:
            return False
        if license_.policy_version >= policy.version:
            return False
        if license_.frozen_at is not None:
            self._leave_alone(license_.id, policy.version)
            return False
        return True

    async def _event(self, policy: Policy, license_: str, name: str) -> Event:
        rules = await self._catalog.rules()
        if rules < NAMING_RULES:
            # Terms that don't say whose they are may come after a transfer: whatever their policy,
            # with a higher version they would pass for newer ones of the license's new one.
            raise rules_not_active(rules)
        return Event(
            id=identifiers.command_id(self._pepper, policy.account, ACTOR, license_, name),
            source=ACTOR,
            license=license_,
            time_ms=self._clock.write_ms,
            actor=ACTOR,
            content_digest=identifiers.content_digest(self._pepper, name.encode()),
            data=TermsChanged(terms=policy.terms, policy=policy.id),
            rules=rules,
            policy_version=policy.version,
        )


def _behind(policy: Policy, keys: Keys) -> tuple[str, ...]:
    """Command that counts a partition's licenses below the policy's version."""
    return "ZCOUNT", keys.licenses_by_version(policy.id), "-inf", f"({policy.version}"


def _window(policy: Policy, keys: Keys, start: int, count: int) -> tuple[object, ...]:
    """Command that reads some of these."""
    index, below = keys.licenses_by_version(policy.id), f"({policy.version}"
    return "ZRANGEBYSCORE", index, "-inf", below, "LIMIT", start, count
