"""Knows who asks: tokens by their digests, licenses by their keys.

Tokens of the settings are compared one by one in constant time. Tokens of the catalog are found by
a keyed digest, so that time tells nothing of one that is nearly right.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from api.catalog.reading import Catalog
from api.clock import Clock
from api.credentials import Credential, forbidden
from api.finding import Finder
from api.principals import Principal
from api.problems import unauthorized
from ledger.domain.catalog.entities import Token
from ledger.domain.identifiers import Pepper, token_digest
from ledger.domain.license import License

_UNKNOWN: Final = "The token is not known here: make a new one."
_ACTOR_LENGTH: Final = 16
_LICENSE_FORMS: Final = frozenset({"LICENSE", "MIXED"})
_TOKEN_FORMS: Final = frozenset({"TOKEN", "MIXED"})


class Doorkeeper:
    """Tells who holds a credential. `token_digests`: SHA-256 of the tokens of the settings."""

    def __init__(
        self,
        token_digests: Sequence[bytes],
        *,
        pepper: Pepper,
        catalog: Catalog,
        finder: Finder,
        clock: Clock,
    ) -> None:
        self._digests = tuple(token_digests)
        self._pepper = pepper
        self._catalog = catalog
        self._finder = finder
        self._clock = clock

    async def principal(self, account: str, credential: Credential | None) -> Principal | None:
        """Who asks of this account; None without a credential.

        Raises a 401 or 403 `Problem` for a credential that is not good here, and 503 where that
        can't be told.
        """
        if credential is None:
            return None
        if credential.kind == "license":
            return await self._license(account, credential.text)
        return self._root(account, credential.text) or await self._token(account, credential.text)

    def _root(self, account: str, text: str) -> Principal | None:
        digest = sha256(text.encode(errors="surrogateescape")).digest()
        # Each digest is compared, so that time tells neither which one nor how far it fits.
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(found):
            return None
        actor = self._pepper.digest("ledger.actor", digest).hex()[:_ACTOR_LENGTH]
        return Principal(role="root", actor=f"token:{actor}", account=account)

    async def _token(self, account: str, text: str) -> Principal:
        token = await self._catalog.token(token_digest(self._pepper, text))
        if token is None or token.account != account:
            raise unauthorized("TOKEN_INVALID", _UNKNOWN)
        if token.expiry_ms is not None and self._clock.check_ms >= token.expiry_ms:
            raise unauthorized("TOKEN_EXPIRED", "The token has expired: make a new one.")
        actor = f"token:{token.id}"
        if token.role == "admin":
            return Principal(role="admin", actor=actor, account=account, token=token)
        if token.role == "product":
            return Principal(
                role="product", actor=actor, account=account, product=token.bearer, token=token
            )
        return await self._activation(token, actor)

    async def _activation(self, token: Token, actor: str) -> Principal:
        found = await self._finder.license(token.account, token.bearer)
        if found is None:
            raise unauthorized("TOKEN_INVALID", _UNKNOWN)
        if _strategy(found.license) not in _TOKEN_FORMS:
            raise forbidden(
                "TOKEN_NOT_ALLOWED", "The license's policy takes no tokens: send the license key."
            )
        return Principal(
            role="license", actor=actor, account=token.account, license=found.license, token=token
        )

    async def _license(self, account: str, key: str) -> Principal:
        found = await self._finder.license_by_key(account, key)
        if found is None:
            raise unauthorized(
                "LICENSE_INVALID", "There is no license with this key here: use another key."
            )
        license_ = found.license
        if license_.suspended:
            raise forbidden(
                "LICENSE_SUSPENDED", "The license is suspended: ask its vendor to reinstate it."
            )
        if license_.expired(self._clock.check_ms) and _ends_access(license_):
            raise forbidden("LICENSE_EXPIRED", "The license has expired: renew it.")
        if _strategy(license_) not in _LICENSE_FORMS:
            raise forbidden(
                "LICENSE_NOT_ALLOWED",
                "The license's policy takes no license keys as credentials: send a token, or set "
                "the policy's authenticationStrategy to LICENSE or MIXED.",
            )
        return Principal(
            role="license", actor=f"license:{license_.id}", account=account, license=license_
        )


def _ends_access(license_: License) -> bool:
    return license_.terms is not None and license_.terms.expiration_strategy == "REVOKE_ACCESS"


def _strategy(license_: License) -> str:
    return "TOKEN" if license_.terms is None else license_.terms.authentication_strategy
