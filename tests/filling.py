"""Many licenses straight into the log, as importers append them: far faster than over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from ledger.domain import identifiers
from ledger.domain.events import Event, Issued
from ledger.domain.identifiers import Pepper
from ledger.domain.terms import OwnTerms, Terms
from ledger.event_log.port import Topic
from tests.activity import append, appendable
from tests.system import System

SEALED = f"{'0' * 16}.{'A' * 60}"
"""Stands in for a sealed key, which nobody opens."""
PIECE = 10_000
HOUR_MS = 3_600_000


class Whose(Struct, frozen=True, kw_only=True):
    """Whose licenses: of which account, product and policy, under which ledger's pepper."""

    pepper: Pepper
    account: str
    product: str
    policy: str


def whose(system: System, policy: str) -> Whose:
    """Licenses of a policy of a system's own product."""
    return Whose(
        pepper=system.settings.pepper,
        account=system.account,
        product=system.product,
        policy=policy,
    )


def key_of(of: Whose, number: int) -> str:
    """Key of one of the licenses."""
    return f"{of.policy}-{number:06d}"


def issues(
    of: Whose,
    count: int,
    *,
    terms: Terms,
    sealed: Callable[[str, int], str] = lambda _id, _number: SEALED,
) -> Iterator[Event]:
    """Licenses of a policy's first version, each issued a millisecond before the one before it.

    The first was issued an hour ago. `sealed` gives the sealed key of a license by id and number.
    """
    now_ms = time.time_ns() // 1_000_000
    for number in range(count):
        key = key_of(of, number)
        id_ = identifiers.license_id(of.pepper, of.account, key)
        yield Event(
            id=identifiers.random_id(),
            source="filling",
            license=id_,
            time_ms=now_ms - HOUR_MS - number,
            actor="filling",
            content_digest=identifiers.content_digest(of.pepper, key.encode()),
            data=Issued(
                account=of.account,
                product=of.product,
                policy=of.policy,
                key=sealed(id_, number),
                terms=terms,
                own=OwnTerms(),
            ),
            rules=2,
            policy_version=0,
        )


async def fill(system: System, events: Iterator[Event]) -> None:
    """Append events and return once the log has them all."""
    partitions, bootstrap = system.settings.partitions, system.kafka.bootstrap
    piece = []
    for event in events:
        piece.append(appendable(event, partitions))
        if len(piece) == PIECE:
            await append(bootstrap, Topic.LICENSE_EVENTS, piece)
            piece = []
    await append(bootstrap, Topic.LICENSE_EVENTS, piece)
