"""Whose history it is: the ledger's ids and secrets, keys of licenses, policies, entitlements."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec import Struct

from ledger.domain.catalog.events import (
    CATALOG_TYPE_NAMES,
    CatalogData,
    CatalogEvent,
    EntitlementCreated,
    PolicyCreated,
)
from ledger.domain.identifiers import Pepper, catalog_command_id, content_digest, slug_id
from ledger.domain.terms import Terms
from ledger.settings import Settings

ACTOR: Final = "history"
DAY_S: Final = 86_400
DAY_MS: Final = 86_400_000
CODES: Final = ("EXPORT", "RENDER", "SSO", "AUDIT", "CLUSTER", "OFFLINE", "BETA", "SUPPORT")
"""Entitlements that licenses get and lose."""
TERMS: Final = {
    "history-node": Terms(max_machines=2, duration_s=365 * DAY_S),
    "history-team": Terms(
        max_machines=5, duration_s=180 * DAY_S, expiration_strategy="REVOKE_ACCESS"
    ),
    "history-metered": Terms(
        max_machines=3,
        max_uses=1000,
        require_check_in=True,
        check_in_interval="week",
        check_in_interval_count=12,
    ),
    "history-site": Terms(
        max_machines=1000, duration_s=365 * DAY_S, expiration_strategy="MAINTAIN_ACCESS"
    ),
}
"""Policies beside the ledger's own one, by their names."""
METERED: Final = 3
"""Place of the policy that asks for check-ins."""
SITE: Final = 4
"""Place of that of large licenses."""


class Plan(Struct, frozen=True, kw_only=True):
    """A policy: its id and the terms that its licenses get."""

    policy: str
    terms: Terms


class Whose(Struct, frozen=True, kw_only=True):
    """The ledger: its id, N, its secrets, the ids of account, product and policy, that one's terms.

    `seal_key`: kid and 32 bytes. It goes into other processes, so the pepper is its bytes.
    """

    ledger: str
    partitions: int
    pepper: bytes
    seal_key: tuple[str, bytes]
    account: str
    product: str
    policy: str
    terms: Terms

    @classmethod
    def of(cls, settings: Settings, ledger: str, pepper: bytes) -> Whose:
        """The account, product and policy that the settings name, in the ledger of this id.

        Raises `ValueError` where that policy has terms that `Expected` doesn't know.
        """
        of = settings.catalog
        if of.terms.strict or not of.terms.floating or of.terms.overage != "NO_OVERAGE":
            raise ValueError("a history's own policy is floating, not strict, without overage")
        return cls(
            ledger=ledger,
            partitions=settings.partitions,
            pepper=pepper,
            seal_key=settings.seal_keys[0],
            account=slug_id(ledger, "account", of.account),
            product=slug_id(ledger, "product", of.product),
            policy=slug_id(ledger, "policy", of.policy),
            terms=of.terms,
        )

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The ledger's own policy, and those that come with the history."""
        more = (
            Plan(policy=slug_id(self.ledger, "policy", name), terms=terms)
            for name, terms in TERMS.items()
        )
        return (Plan(policy=self.policy, terms=self.terms), *more)

    @property
    def entitlements(self) -> tuple[str, ...]:
        """Ids of the entitlements, in the order of their `CODES`."""
        return tuple(slug_id(self.ledger, "entitlement", code) for code in CODES)

    def catalog_events(self, time_ms: int) -> list[CatalogEvent]:
        """What the catalog needs beside what every ledger begins with."""
        pepper = Pepper(self.pepper)
        names = zip(self.plans[1:], TERMS, strict=True)
        codes = zip(self.entitlements, CODES, strict=True)
        said: list[tuple[str, CatalogData]] = [
            *(
                (plan.policy, PolicyCreated(product=self.product, name=name, terms=plan.terms))
                for plan, name in names
            ),
            *((id_, EntitlementCreated(name=code.title(), code=code)) for id_, code in codes),
        ]
        return [
            CatalogEvent(
                id=catalog_command_id(pepper, self.account, ACTOR, subject),
                source=ACTOR,
                account=self.account,
                subject=subject,
                time_ms=time_ms,
                actor=ACTOR,
                content_digest=content_digest(
                    pepper, f"{CATALOG_TYPE_NAMES[type(data)]} {subject}".encode()
                ),
                data=data,
            )
            for subject, data in said
        ]


def key_of(seed: int, index: int) -> str:
    """License key of one of a history's licenses: a function of the seed and its index."""
    digest = blake2b(b"%d/%d" % (seed, index), digest_size=12, person=b"history.key").hexdigest()
    return f"HIST-{digest.upper()}"


def fingerprint_of(index: int, machine: int) -> str:
    """Fingerprint of one of a license's machines, which are numbered from 0 as they come."""
    return f"history-{index}-{machine}"
