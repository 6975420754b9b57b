"""Seeded activity: valid events as a ledger sees them, for tests and benches that need a log.

The same seed gives the same events, bytes and order. `append` puts them into Kafka, with the
broker's own timestamps; `Record`s for folds without a broker come from `records`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from ledger.domain import identifiers
from ledger.domain.events import (
    ActivationRequested,
    DeactivationRequested,
    DenialImported,
    Event,
    EventData,
    Issued,
    Reinstated,
    Revoked,
    Suspended,
)
from ledger.domain.identifiers import Pepper
from ledger.domain.terms import OwnTerms, Terms
from ledger.event_log.codec import encode

PEPPER = Pepper(b"activity's pepper is no secret, it is 32 to 64 bytes")
ACCOUNT = "5a2b0d1e-0c57-5c1e-9d2c-3a1f5b7c9e01"
PRODUCT = "5a2b0d1e-0c57-5c1e-9d2c-3a1f5b7c9e02"
POLICIES = ("5a2b0d1e-0c57-5c1e-9d2c-3a1f5b7c9e03", "5a2b0d1e-0c57-5c1e-9d2c-3a1f5b7c9e04")
START_MS = 1_650_000_000_000
"""The sender's time of the first event."""

Weighted = tuple[tuple[str, int], ...]
MIXED: Weighted = (
    ("activate", 50),
    ("deactivate", 18),
    ("import", 10),
    ("duplicate", 6),
    ("denial", 3),
    ("suspend", 2),
    ("reinstate", 3),
    ("revoke", 1),
    ("issue", 4),
    ("mismatch", 2),
    ("stranger", 1),
)
"""What happens how often: everything that there is."""
ACTIVATIONS: Weighted = (("activate", 1),)
"""Nothing but activations of machines never seen, but for the licenses' issue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appendable:
    """A record before anyone gave it an offset."""

    partition: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of a log that is only in memory."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Activity:
    """An endless run of events of `licenses` licenses, in `partitions` partitions.

    `machines`: how many fingerprints a license's requests are drawn from (0: never one twice).
    """

    def __init__(
        self,
        seed: int,
        *,
        partitions: int,
        licenses: int = 40,
        machines: int = 12,
        mix: Weighted = MIXED,
    ) -> None:
        self._random = Random(seed)
        self._partitions = partitions
        self._machines = machines
        self._ids = [
            identifiers.license_id(PEPPER, ACCOUNT, f"{seed}/{number}")
            for number in range(licenses)
        ]
        self._strangers = [
            identifiers.license_id(PEPPER, ACCOUNT, f"{seed}/stranger/{number}")
            for number in range(1 + licenses // 10)
        ]
        self._choices = [what for what, _ in mix]
        self._weights = [weight for _, weight in mix]
        self._unissued = list(self._ids)
        self._sent: list[Event] = []
        self._sequences: dict[tuple[str, str], int] = {}
        self._now_ms = START_MS
        self._fingerprints = 0
        self._makers: dict[str, Callable[[str], Event]] = {
            "issue": lambda id_: self._event(id_, self._issued()),
            "activate": lambda id_: self._event(id_, self._activation(id_)),
            "deactivate": lambda id_: self._event(id_, self._deactivation(id_)),
            "suspend": lambda id_: self._event(id_, Suspended()),
            "reinstate": lambda id_: self._event(id_, Reinstated()),
            "revoke": lambda id_: self._event(id_, Revoked()),
            "import": self._import,
            "denial": lambda id_: self._imported(id_, DenialImported(kind="denied", reason="FULL")),
        }

    def events(self, count: int) -> Iterator[Event]:
        """The next `count` events; the first ones issue the licenses."""
        for _ in range(count):
            yield self._next()

    def appendables(self, count: int) -> Iterator[Appendable]:
        """The next `count` events as records without an offset."""
        for event in self.events(count):
            yield appendable(event, self._partitions)

    def _next(self) -> Event:
        self._now_ms += self._random.randrange(5_000)
        event = self._issue_next() if self._unissued else self._any()
        if len(self._sent) < 1000:
            self._sent.append(event)
        else:
            self._sent[self._random.randrange(1000)] = event
        return event

    def _issue_next(self) -> Event:
        return self._event(self._unissued.pop(), self._issued())

    def _any(self) -> Event:
        [what] = self._random.choices(self._choices, self._weights)
        if what == "duplicate":
            return self._random.choice(self._sent)
        if what == "mismatch":
            return replace(self._random.choice(self._sent), content_digest=self._hex(16))
        if what == "stranger":
            stranger = self._random.choice(self._strangers)
            return self._event(stranger, self._activation(stranger))
        return self._makers[what](self._random.choice(self._ids))

    def _event(self, license_: str, data: EventData) -> Event:
        return Event(
            id=str(UUID(bytes=self._random.randbytes(16), version=4)),
            source="api",
            license=license_,
            time_ms=self._now_ms,
            actor="token:0123456789abcdef",
            content_digest=self._hex(16),
            data=data,
            policy_version=0 if isinstance(data, Issued) else None,
        )

    def _imported(self, license_: str, data: EventData) -> Event:
        source = f"flexlm:{self._random.randrange(2)}"
        sequence = self._sequences.get((license_, source), 0) + self._random.randrange(3)
        self._sequences[license_, source] = sequence
        return replace(
            self._event(license_, data),
            source=source,
            sequence=sequence,
            source_digest=self._hex(16),
            occurred_at_ms=self._now_ms - 1_000_000,
        )

    def _import(self, license_: str) -> Event:
        if self._random.random() < 0.6:
            return self._imported(license_, self._activation(license_))
        return self._imported(license_, self._deactivation(license_))

    def _issued(self) -> Issued:
        pick = self._random
        return Issued(
            account=ACCOUNT,
            product=PRODUCT,
            policy=pick.choice(POLICIES),
            key=self._sealed(),
            terms=Terms(
                max_machines=pick.choice((None, 1, 5, 50, 10_000)),
                overage=pick.choice(("NO_OVERAGE", "ALLOW_1_5X_OVERAGE")),
                duration_s=pick.choice((None, 3_600, 90 * 86_400)),
                strict=pick.random() < 0.5,
            ),
            own=OwnTerms(max_machines=pick.choice((None, None, 7))),
            name=pick.choice((None, "Ünïversity «Ω»", 'quoted "name" \\ ', "a\u2028b\x7f")),
            metadata=pick.choice((None, "{}", '{"seat":"7 β","n":1.50,"deep":{"a":[1,null]}}')),
        )

    def _activation(self, license_: str) -> ActivationRequested:
        pick = self._random
        fingerprint = self._fingerprint()
        return ActivationRequested(
            machine=identifiers.machine_id(PEPPER, license_, fingerprint),
            fingerprint=self._sealed(),
            fingerprint_digest=identifiers.fingerprint_digest(PEPPER, ACCOUNT, fingerprint),
            seats=pick.choice((1, 1, 1, 2)),
            hostname=self._sealed(),
            ip=pick.choice((None, self._sealed())),
            platform=pick.choice((None, "linux", "windows")),
            cores=pick.choice((None, 8)),
            metadata=pick.choice((None, None, '{"rack":"7"}')),
        )

    def _deactivation(self, license_: str) -> DeactivationRequested:
        return DeactivationRequested(
            machine=identifiers.machine_id(PEPPER, license_, self._fingerprint())
        )

    def _fingerprint(self) -> str:
        if self._machines:
            return f"machine {self._random.randrange(self._machines)}"
        self._fingerprints += 1
        return f"machine {self._fingerprints}"

    def _sealed(self) -> str:
        return f"{self._hex(8)}.{self._hex(30)}"

    def _hex(self, size: int) -> str:
        return self._random.randbytes(size).hex()


def appendable(event: Event, partitions: int) -> Appendable:
    """An event as a record without an offset."""
    return Appendable(
        partition=identifiers.partition_of(event.license, partitions),
        key=event.license.encode(),
        value=encode(event),
    )


def records(
    appendables: Iterable[Appendable], *, seed: int = 0, first_timestamp_ms: int = START_MS
) -> dict[int, list[Record]]:
    """A log in memory, by partition, each with a genesis record.

    Timestamps come in clumps and jump, forward and back, as a broker's clock may.
    """
    pick = Random(seed)
    log: dict[int, list[Record]] = {}
    timestamp_ms = first_timestamp_ms
    for item in appendables:
        if pick.random() < 0.3:
            timestamp_ms += pick.choice((1, 40, 2_000, 60_000, 400 * 86_400_000, -3_000))
        partition = log.setdefault(
            item.partition,
            [Record(offset=0, timestamp=first_timestamp_ms, key=b"genesis", value=b"{}")],
        )
        partition.append(
            Record(offset=len(partition), timestamp=timestamp_ms, key=item.key, value=item.value)
        )
    return log


async def append(
    bootstrap: str, topic: str, appendables: Sequence[Appendable], *, timeout_s: float = 60.0
) -> None:
    """Append to Kafka, in order within each partition. Raises on any that was not stored."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5
    )
    async with asyncio.timeout(timeout_s):
        await producer.start()
        try:
            sent = [
                await producer.send(topic, item.value, key=item.key, partition=item.partition)
                for item in appendables
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()
