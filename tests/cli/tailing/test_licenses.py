"""What is told of events by replicas: only what they remember of that very event."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cli.replica import Command, Remembered, Replicas
from cli.tailing.licenses import Asking
from ledger.domain.events import Event, Suspended
from ledger.domain.state import License
from ledger.domain.verdicts import GRANTED, IDEMPOTENCY_MISMATCH, Verdict
from ledger.event_log.codec import encode
from ledger.event_log.port import Record

LICENSE = "3d2a7a6e-0000-8000-8000-000000000001"
EVENT = Event(
    id="00000000-0000-8000-8000-000000000002",
    source="api",
    license=LICENSE,
    time_ms=1_800_000_000_000,
    actor="token:0",
    content_digest="0" * 32,
    data=Suspended(),
)
AT = 7


class Knowing(Replicas):
    """Replicas that remember one verdict of every command; None: nobody answers."""

    def __init__(self, remembered: Remembered | None) -> None:
        self.remembers = remembered
        self.asked = 0

    async def remembered(
        self,
        commands: Sequence[Command],
        *,
        limit_s: float,  # noqa: ARG002 - the port's
    ) -> list[Remembered] | None:
        self.asked += 1
        return None if self.remembers is None else [self.remembers] * len(commands)


def verdict(offset: int, digest: str = "0" * 32) -> Verdict:
    return Verdict(
        code=GRANTED,
        offset=offset,
        time_ms=0,
        content_digest=digest,
        seats_held=1,
        limit=2,
        epoch=1,
    )


def record(event: Event = EVENT, value: bytes | None = None) -> Record:
    return Record(
        partition=1,
        offset=AT,
        timestamp_ms=1_800_000_000_000,
        key=event.license.encode(),
        value=value or encode(event),
    )


def known(found: Verdict | None, *, folded: bool = True) -> Remembered:
    return Remembered(folded=folded, verdict=found, license=License(id=LICENSE, name="ACME"))


@pytest.mark.parametrize(
    ("remembered", "code"),
    [
        (known(verdict(AT)), GRANTED),
        (known(verdict(AT - 1)), GRANTED),
        (known(verdict(AT - 1, "1" * 32)), IDEMPOTENCY_MISMATCH),
        (known(verdict(AT + 1)), None),
        (known(verdict(AT), folded=False), None),
        (known(None), None),
    ],
    ids=["its own", "again", "another request", "used again later", "not folded", "forgotten"],
)
async def test_a_verdict_is_told_where_it_is_of_this_event(
    remembered: Remembered, code: str | None
) -> None:
    [told] = await Asking(Knowing(remembered), pytest.fail).tell([record()])
    assert told.verdict == code
    assert told.name == "ACME"


async def test_of_an_imported_event_nothing_is_guessed() -> None:
    imported = replace(EVENT, sequence=3, source="csv:0")
    [told] = await Asking(Knowing(known(verdict(AT))), pytest.fail).tell([record(imported)])
    assert told.verdict is None


async def test_with_no_replica_it_is_said_once_and_not_asked_at_each_event() -> None:
    said: list[str] = []
    replicas = Knowing(None)
    asking = Asking(replicas, said.append)
    for _ in range(3):
        [told] = await asking.tell([record()])
        assert told.verdict is None
    assert len(said) == replicas.asked == 1


async def test_poison_and_later_rules_are_told_and_genesis_is_not() -> None:
    asking = Asking(Knowing(None), lambda _: None)
    later = encode(EVENT).replace(b'"rules":1', b'"rules":9')
    first = Record(partition=1, offset=0, timestamp_ms=1, key=b"genesis", value=b"{}")
    told = await asking.tell([first, record(value=b"{"), record(value=later)])
    assert ["can't be decoded" in told[0].why, "rules version 9" in told[1].why] == [True, True]
    assert len(told) == 2
