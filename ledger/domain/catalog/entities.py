"""What the catalog knows: values as they stand at one offset of `catalog-events`.

Times are the sender's now, in milliseconds since 1970. `offset` is where the entity was created;
lists are ordered by it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ledger.domain.events import Digest, Id, Metadata, Name, Version
from ledger.domain.terms import Code, Terms, TimeMs

# The last part of each pattern: a `$` alone lets a line's end through.
Slug = Annotated[
    str,
    Meta(min_length=1, max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$(?!\n)"),
]
"""Of an account; never of the form of a UUID, since paths take either."""
Domain = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9.-]+$(?!\n)")]
"""Host name that stands for an account, lower case, without a port."""
Distribution = Literal["LICENSED", "OPEN", "CLOSED"]
Role = Literal["admin", "product", "activation"]
"""What a token may do: everything in its account; what concerns its product; what its license may.
"""
FIRST_RULES: Final = 1


class Entity(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What every entity has. `account`: whose it is; an account's own id."""

    id: Id
    account: Id
    created_ms: TimeMs
    changed_ms: TimeMs
    offset: int


class Account(Entity, frozen=True, kw_only=True, tag="account"):
    """A vendor. `slug` and `domain` are unique in the ledger."""

    slug: Slug
    name: Name | None = None
    domain: Domain | None = None


class Product(Entity, frozen=True, kw_only=True, tag="product"):
    """Something that is licensed. `code` is unique in the account."""

    name: Name
    code: Code | None = None
    url: Name | None = None
    distribution: Distribution = "LICENSED"
    platforms: list[Name] = []
    metadata: Metadata | None = None
    policies: int = 0
    """How many policies it has: one that has some can't be deleted."""


class Policy(Entity, frozen=True, kw_only=True, tag="policy"):
    """A template of terms. `version` counts its changes, from 0; terms carry it into licenses."""

    product: Id
    name: Name
    terms: Terms
    version: Version = 0
    metadata: Metadata | None = None


class Entitlement(Entity, frozen=True, kw_only=True, tag="entitlement"):
    """A named right. `code` is unique in the account and never changes: licenses carry it."""

    name: Name
    code: Code
    metadata: Metadata | None = None


class Token(Entity, frozen=True, kw_only=True, tag="token"):
    """A credential, known by its keyed digest only.

    `bearer`: id of the account, product or license that the token speaks for, by its role.
    """

    role: Role
    bearer: Id
    digest: Digest
    name: Name | None = None
    expiry_ms: TimeMs | None = None


class Discard(Entity, frozen=True, kw_only=True, tag="discard"):
    """A record of license-events that a person ordered to leave out. Each is discarded once."""

    partition: int
    record: int
    """Its offset."""


class Rules(Entity, frozen=True, kw_only=True, tag="rules"):
    """Which rules version writers use; where there is none, it is the first."""

    version: int = FIRST_RULES


RULES_ID: Final = "00000000-0000-8000-8000-000000000001"
"""Id of the one `Rules` entity; in place of an account of what is the whole ledger's."""


def slug_claim(slug: str) -> str:
    """Name of the claim of an account's slug, unique in the ledger."""
    return f"slug:{slug}"


def domain_claim(domain: str) -> str:
    """Name of the claim of an account's domain, unique in the ledger."""
    return f"domain:{domain}"


def digest_claim(digest: str) -> str:
    """Name of the claim of a token's digest, unique in the ledger."""
    return f"digest:{digest}"


def code_claim(account: str, kind: Literal["product", "entitlement"], code: str) -> str:
    """Name of the claim of a product's or entitlement's code, unique in the account."""
    return f"code:{account}:{kind}:{code}"


def discard_claim(partition: int, record: int) -> str:
    """Name of the claim of a discard's record, unique in the ledger."""
    return f"discard:{partition}:{record}"


AnyEntity = Account | Product | Policy | Entitlement | Token | Discard | Rules
