"""Who asks, and what each role may see. Pure; docs/api/roles.md has the table, a test a cell."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from ledger.domain.catalog.entities import Token
from ledger.domain.license import License
from ledger.domain.terms import is_protected

Role = Literal["root", "admin", "product", "license"]
"""root: a token of the settings, for every account. The others are one account's: its own people,
the software that sells a product, and whoever holds a license."""

STAFF: Final[frozenset[Role]] = frozenset({"root", "admin"})
SELLERS: Final[frozenset[Role]] = STAFF | {"product"}
ANYONE: Final[frozenset[Role]] = SELLERS | {"license"}


class Principal(Struct, frozen=True, kw_only=True):
    """Somebody known. `actor`: what the ledger calls them. `token`: theirs, of the catalog.

    `product`: of the role product, `license`: of the role license, as it stood when they came.
    """

    role: Role
    actor: str
    account: str
    product: str | None = None
    license: License | None = None
    token: Token | None = None

    @property
    def may_move_machines(self) -> bool:
        """Whether they may activate and deactivate: of a protected license only its vendor may."""
        if self.license is None or self.license.terms is None:
            return True
        return not is_protected(self.license.terms, self.license.own)

    def sees_product(self, product: str) -> bool:
        """Whether this product is theirs to see."""
        if self.role == "product":
            return product == self.product
        return self.role in STAFF or (self.license is not None and product == self.license.product)

    def sees_policy(self, policy: str, product: str) -> bool:
        """Whether this policy, of this product, is theirs to see."""
        if self.license is not None:
            return policy == self.license.policy
        return self.sees_product(product)

    def sees_license(self, license_: License) -> bool:
        """Whether this license, and so its machines, are theirs to see."""
        if self.license is not None:
            return license_.id == self.license.id
        return self.sees_product(license_.product)
