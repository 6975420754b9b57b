"""Checks: one read of the license and the machines in question, and the answer to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import UNSET, Struct
from msgspec.structs import replace

from api import checks
from api.bodies import ValidateKeyMeta, ValidateMeta
from api.checks import Answer, Scope
from api.clock import Clock
from api.metrics import Metrics
from api.positions import Place, position_of
from api.problems import Problem, replica_behind
from api.replica import Asked, Names, Reading, Replica
from api.replicas import Replicas
from api.resources import Said, check_document, license_resource
from ledger.domain.identifiers import Pepper, is_id, machine_id, partition_of
from ledger.domain.license import License, Machine
from projector.read_model.asked import Values
from projector.views.documents import read_answer, read_license, read_machine

AT_LEAST_S: Final = 1.0
"""For how long a check waits until a replica has folded past what it asks for."""
_Judged = tuple[Answer, License | None, int]


class Check(Struct, frozen=True, kw_only=True):
    """A check's answer at `now_ms`; the live license and its document, None where there is none."""

    answer: Answer
    now_ms: int
    reading: Reading
    license: License | None
    document: bytes

    def hidden(self) -> Check:
        """Return the same check for somebody who may not see the license."""
        return replace(self, answer=checks.NOT_FOUND, license=None, document=b"")


class Look(NamedTuple):
    """A check whose read is on its way."""

    account: str
    scope: Scope
    replica: Replica
    asked: Asked


def machines_of(pepper: Pepper, license_: str, scope: Scope) -> list[str]:
    """Ids of the machines that a check of the license looks at, in the order of `judged`."""
    machines = [machine_id(pepper, license_, each) for each in scope.wanted or ()]
    if scope.machine is not UNSET:
        named = scope.machine.lower()
        # Nothing is ever stored under a license's id.
        machines.append(named if is_id(named) else license_)
    return machines


def judged(
    account: str, values: Sequence[bytes | None], scope: Scope, now_ms: int
) -> tuple[Answer, License | None]:
    """Answer a check by what is stored of the license and of its `machines_of`; and the license."""
    document = values[0]
    found = None if document is None else read_license(document)
    if found is None or found.status != "live" or found.account != account:
        return checks.NOT_FOUND, None
    if len(values) == 1:
        return checks.check(found, (), scope, now_ms), found
    machines: list[Machine | None] = [
        None if each is None else read_machine(each) for each in values[1:]
    ]
    named = machines.pop() if scope.machine is not UNSET else None
    return checks.check(found, machines, scope, now_ms, named), found


def is_sure(answer: Answer, reading: Reading, past: int) -> bool:
    """Whether the reading may say so: it is past `past`, and behind in nothing that matters."""
    return reading.position > past and not (reading.behind and answer.rests_on_absence)


class UnsureCheck(Problem):
    """503: the answer would rest on what the replica may lack. `found`: what it has."""

    def __init__(self, found: Check) -> None:
        behind = replica_behind()
        super().__init__(behind.status, behind.code, behind.error.detail, headers=behind.headers)
        self.found = found


class Checker:
    """Answers checks from the replicas."""

    def __init__(
        self,
        *,
        ledger: str,
        pepper: Pepper,
        clock: Clock,
        replicas: Replicas,
        metrics: Metrics,
    ) -> None:
        self._ledger = ledger
        self._pepper = pepper
        self._clock = clock
        self._replicas = replicas
        self._metrics = metrics

    async def check(
        self, account: str, license_: str, scope: Scope, at_least: Place | None = None
    ) -> Check:
        """Check the account's license with this id, as it stood at `at_least` or later.

        Raises a 503 `Problem` where no replica can be read; `UnsureCheck` where the one that can is
        behind `at_least`, or behind at all and the answer would rest on what it may lack.
        """
        partition = partition_of(license_, self._replicas.partitions)
        past = -1
        if at_least is not None and at_least.partition == partition:
            past = at_least.offset
            await self._replicas.wait_past(partition, past, AT_LEAST_S)
        tried: list[tuple[Sequence[bytes | None], _Judged]] = []

        def absent(values: Sequence[bytes | None]) -> bool:
            tried.append((values, self._judged(account, values, scope)))
            return tried[-1][1][0].rests_on_absence

        reading = await self._replicas.read(partition, self._names(license_, scope), absent=absent)
        known = [each for values, each in tried if values is reading.values]
        made = known[-1] if known else self._judged(account, reading.values, scope)
        if not is_sure(made[0], reading, past):
            raise UnsureCheck(_found(made, reading))
        return self._checked(made, reading)

    def look_at_once(self, account: str, license_: str, scope: Scope) -> Look | None:
        """Begin a check that takes one read of the replica that is level; None without such."""
        partition = partition_of(license_, self._replicas.partitions)
        asked = self._replicas.ask_at_once(partition, self._names(license_, scope))
        return None if asked is None else Look(account, scope, *asked)

    def seen_at_once(self, look: Look, values: Values) -> Check | None:
        """Check as `check` does, by what a look has brought.

        None where that is not sure, or the answer rests on what isn't there: look again.
        """
        reading = self._replicas.read_at_once(look.replica, look.asked, values)
        if reading is None:
            return None
        made = self._judged(look.account, reading.values, look.scope)
        return None if made[0].rests_on_absence else self._checked(made, reading)

    def _checked(self, judged: _Judged, reading: Reading) -> Check:
        self._metrics.checked(judged[0].code, reading.source)
        return _found(judged, reading)

    def _names(self, license_: str, scope: Scope) -> Names:
        """Names of what a check reads: the license, then the machines in question."""
        machines = machines_of(self._pepper, license_, scope)
        return lambda keys: [keys.license(license_), *map(keys.machine, machines)]

    def _judged(self, account: str, values: Sequence[bytes | None], scope: Scope) -> _Judged:
        now_ms = self._clock.check_ms
        answer, found = judged(account, values, scope, now_ms)
        return answer, found, now_ms

    def answered(
        self,
        check: Check,
        asked: ValidateMeta | ValidateKeyMeta | None,
        key: str,
        *,
        in_place: tuple[str, str] | None = None,
    ) -> bytes:
        """Document of a check's answer; `key` is shown as the license's.

        `in_place`: who says so in place of the replica, and by which emergency order.
        """
        reading, found = check.reading, check.license
        source, order = in_place or (reading.source, None)
        said = Said(
            position=position_of(self._ledger, reading.partition, reading.position - 1),
            age_ms=reading.age_ms,
            source=source,
            order=order,
            frozen=found is not None and found.frozen_at is not None,
        )
        resource = None
        if found is not None:
            resource = license_resource(
                read_answer(check.document), found, key=key, now_ms=check.now_ms, validated=True
            )
        return check_document(check.answer, resource, asked=asked, now_ms=check.now_ms, said=said)


def _found(judged: _Judged, reading: Reading) -> Check:
    answer, found, now_ms = judged
    return Check(
        answer=answer,
        now_ms=now_ms,
        reading=reading,
        license=found,
        document=reading.values[0] or b"",
    )
