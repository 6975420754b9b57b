"""Verdicts on requests to the catalog, and whose memory keeps them."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec import Struct

GRANTED: Final = "granted"
NOT_FOUND: Final = "not-found"
"""The account has no such entity, or what the request refers to isn't there."""
ID_TAKEN: Final = "id-taken"
SLUG_TAKEN: Final = "slug-taken"
DOMAIN_TAKEN: Final = "domain-taken"
CODE_TAKEN: Final = "code-taken"
DIGEST_TAKEN: Final = "digest-taken"
ALREADY_DISCARDED: Final = "already-discarded"
IN_USE: Final = "in-use"
"""A product that has policies."""
ENTITLEMENT_TAKEN: Final = "entitlement-taken"
"""The policy has one of the entitlements that were to be attached."""
NO_ENTITLEMENT: Final = "no-entitlement"
"""The policy doesn't have one of those that were to be detached."""
ENTITLEMENTS_EXCEEDED: Final = "entitlements-exceeded"
INVALID: Final = "invalid"
"""Well-formed, and makes no sense: terms that no policy may have, a slug like an id."""
STALE: Final = "stale"
"""That rules version, or a later one, is active."""
IDEMPOTENCY_MISMATCH: Final = "idempotency-mismatch"
"""The command id is remembered with another content; changes nothing."""

_SCOPE_BYTES: Final = 16


class CatalogVerdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided at `offset` of a request about `entity`.

    `version`: of a policy, right after.
    """

    code: str
    offset: int
    time_ms: int
    content_digest: str
    entity: str
    version: int | None = None

    @property
    def granted(self) -> bool:
        """Whether the request was granted."""
        return self.code == GRANTED


class Scope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The commands of one actor in one account: how many are remembered."""

    commands: int = 0


def scope_of(account: str, actor: str) -> str:
    """Name of the memory that the actor's commands in the account share."""
    named = f"{account}:{actor}".encode()
    return blake2b(named, digest_size=_SCOPE_BYTES, person=b"ledger.scope").hexdigest()
