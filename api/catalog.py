"""The one account, product and policy of a ledger without a catalog, and who may ask."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from api.problems import Problem, unauthorized
from ledger.domain.identifiers import Pepper, is_id, slug_id
from ledger.domain.terms import Terms
from ledger.settings import CatalogSettings

_ACTOR_LENGTH: Final = 16


class Catalog(Struct, frozen=True, kw_only=True):
    """Ids of the ledger, its account, product and policy; `terms` are the policy's."""

    ledger: str
    account: str
    account_slug: str
    product: str
    policy: str
    terms: Terms

    def is_account(self, text: str) -> bool:
        """Whether a path's account, by id or slug, is the one there is."""
        return text.lower() == self.account or text == self.account_slug


def catalog_of(ledger: str, settings: CatalogSettings) -> Catalog:
    """Catalog of the ledger with this id."""
    return Catalog(
        ledger=ledger,
        account=slug_id(ledger, "account", settings.account),
        account_slug=settings.account,
        product=slug_id(ledger, "product", settings.product),
        policy=slug_id(ledger, "policy", settings.policy),
        terms=settings.terms,
    )


class Doorkeeper:
    """Knows the tokens by their digests; who holds one may do everything."""

    def __init__(self, token_digests: Sequence[bytes], pepper: Pepper) -> None:
        self._digests = tuple(token_digests)
        self._pepper = pepper

    def actor(self, authorization: str | None) -> str | None:
        """Who asks, as the ledger names actors; None without a credential.

        Raises a 401 or 403 `Problem` for a credential that is not accepted.
        """
        if authorization is None:
            return None
        scheme, _, credential = authorization.strip().partition(" ")
        credential = credential.strip()
        if scheme.lower() == "license":
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "LICENSE_NOT_ALLOWED",
                "License keys are no credentials here: send Authorization: Bearer and a token.",
                source={"header": "Authorization"},
            )
        if scheme.lower() not in {"bearer", "token"} or not credential:
            raise unauthorized("TOKEN_INVALID", "Send Authorization: Bearer and a token.")
        if is_id(credential.lower()):
            raise unauthorized(
                "TOKEN_FORMAT_INVALID", "This is an id, not a token: send the token itself."
            )
        return self._known(sha256(credential.encode(errors="surrogateescape")).digest())

    def required(self, actor: str | None) -> str:
        """Return the actor; raises a 401 `Problem` without one."""
        if actor is None:
            raise unauthorized("TOKEN_MISSING", "Send Authorization: Bearer and a token.")
        return actor

    def _known(self, digest: bytes) -> str:
        # Each digest is compared, so that time tells neither which one nor how far it fits.
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(found):
            raise unauthorized("TOKEN_INVALID", "The token is not known here.")
        return f"token:{self._pepper.digest('ledger.actor', digest).hex()[:_ACTOR_LENGTH]}"
