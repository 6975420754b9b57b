"""The catalog as a worker reads it: from the replicas, and kept at hand until it moves.

What isn't there is looked for once more after reading to the catalog's present end, so that an
entity that was made a moment ago elsewhere is never called unknown. While the log is away that
can't be done: then the answer is 503, never "no".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec import UNSET, UnsetType

from api.listing import no_such_cursor
from api.problems import Problem, replica_behind, unavailable
from api.replicas import Replicas
from api.standing import highest_seen
from ledger.domain.catalog.entities import (
    RULES_ID,
    Account,
    AnyEntity,
    Entity,
    Policy,
    Rules,
    Token,
    digest_claim,
    domain_claim,
    slug_claim,
)
from ledger.domain.identifiers import is_id, slug_id
from ledger.event_log.port import EventLog, LogError, Topic
from ledger.settings import CatalogSettings
from projector.read_model.keys import CATALOG, Keys
from projector.views.catalog import read_entity

T = TypeVar("T", bound=Entity)

CACHED_MAX: Final = 20_000
_NAMES: Final = Keys(CATALOG)
"""Names to remember values by, whatever generation they were read from."""
SETTLED_S: Final = 1.0
CHUNK: Final = 200


def catalog_behind() -> Problem:
    """Return the problem of a "no" that can't be said while the catalog can't be read."""
    return unavailable(
        "What was asked for is not known here, and whether it is new can't be told at the "
        "moment: the catalog can't be read to its end. Repeat after a second.",
        code="CATALOG_BEHIND",
    )


class Catalog:
    """Entities by id, and by what is unique.

    `ledger`: the ledger's id. `account`, `product`, `policy`: ids of those that the settings name.
    """

    def __init__(
        self, *, ledger: str, settings: CatalogSettings, replicas: Replicas, log: EventLog
    ) -> None:
        self.ledger: Final = ledger
        self.account: Final = slug_id(ledger, "account", settings.account)
        self.product: Final = slug_id(ledger, "product", settings.product)
        self.policy: Final = slug_id(ledger, "policy", settings.policy)
        self._slug = settings.account
        self._replicas = replicas
        self._log = log
        self._cached: dict[str, bytes | None] = {}
        self._cached_at = 0

    async def account_named(self, text: str) -> str | None:
        """Id of the account with this id or slug; the default one is known without a look."""
        if text.lower() == self.account or text == self._slug:
            return self.account
        if is_id(text.lower()):
            found = await self.entity(Account, text.lower(), account=text.lower())
            return None if found is None else found.id
        return await self._claimed(slug_claim(text))

    async def account_of_host(self, host: str) -> str | None:
        """Id of the account whose domain this is, else the default one's.

        None where the catalog can't be read: then it can't be told, and nobody waits for it.
        """
        if not self._replicas.can_check(CATALOG):
            return None
        try:
            value = await self._value(lambda keys: keys.claim(domain_claim(host)))
        except Problem:
            return None
        return self.account if value is None else value.decode()

    def account_at_hand(self, text: str) -> str | None:
        """Id of the account with this id or slug, where that is known without a read."""
        if text == self._slug or text.lower() == self.account:
            return self.account
        held = self._at_hand(_NAMES.claim(slug_claim(text)))
        return held.decode() if isinstance(held, bytes) else None

    def host_at_hand(self, host: str) -> str | None:
        """As `account_of_host`, where that is known without a read; else None."""
        held = self._at_hand(_NAMES.claim(domain_claim(host)))
        if held is UNSET:
            return None
        return self.account if held is None else held.decode()

    def _at_hand(self, name: str) -> bytes | UnsetType | None:
        """Value of a key as it stands, UNSET where it would have to be read."""
        if highest_seen(self._replicas.standings, CATALOG) != self._cached_at:
            return UNSET
        return self._cached.get(name, UNSET)

    async def entity(self, kind: type[T], id_: str, *, account: str) -> T | None:
        """Entity of the account with this id; None where there surely is none.

        Raises a 503 `Problem` where that can't be told.
        """
        found = await self._entity(id_)
        if found is None:
            await self.settle()
            found = await self._entity(id_)
        return found if isinstance(found, kind) and found.account == account else None

    async def entities(self, ids: Sequence[str]) -> list[AnyEntity]:
        """Those of the entities that are there, in the order of `ids`."""
        return [found for id_ in ids if (found := await self._entity(id_)) is not None]

    async def page(
        self,
        account: str,
        kind: type[Entity],
        wanted: Callable[[AnyEntity], bool],
        *,
        start: int,
        after: str | None,
        size: int,
    ) -> tuple[list[AnyEntity], bool]:
        """Return `size` wanted entities, newest first, and whether there are more.

        They are those after `start` others, or after the one with the id `after`. Raises a 503
        `Problem`.
        """
        name = f"{kind.__name__.lower()}"
        rank = skipped = 0
        found: list[AnyEntity] = []
        if after is not None:
            rank = await self._rank_after(account, name, after)
        while True:
            ids = await self._replicas.newest(
                CATALOG, lambda keys: keys.entities(account, name), rank, CHUNK
            )
            for entity in await self.entities(ids):
                if not wanted(entity):
                    continue
                skipped += 1
                if skipped <= start:
                    continue
                if len(found) == size:
                    return found, True
                found.append(entity)
            if len(ids) < CHUNK:
                return found, False
            rank += CHUNK

    async def policies(self) -> list[Policy]:
        """Policies of all accounts. Raises a 503 `Problem`."""
        accounts = await self._listed(RULES_ID, "account")
        found: list[Policy] = []
        for account in accounts:
            entities = await self.entities(await self._listed(account, "policy"))
            found += [entity for entity in entities if isinstance(entity, Policy)]
        return found

    async def _listed(self, account: str, kind: str) -> list[str]:
        """Ids of all of an account's entities of a kind."""
        found: list[str] = []
        while len(found) % CHUNK == 0:
            ids = await self._replicas.newest(
                CATALOG, lambda keys: keys.entities(account, kind), len(found), CHUNK
            )
            found += ids
            if not ids:
                break
        return found

    async def _rank_after(self, account: str, name: str, id_: str) -> int:
        rank = await self._replicas.rank(CATALOG, lambda keys: keys.entities(account, name), id_)
        if rank is None:
            raise no_such_cursor()
        return rank + 1

    async def token(self, digest: str) -> Token | None:
        """Token with this digest; None where there surely is none. Raises a 503 `Problem`."""
        id_ = await self._claimed(digest_claim(digest))
        found = None if id_ is None else await self._entity(id_)
        return found if isinstance(found, Token) and found.digest == digest else None

    async def rules(self) -> int:
        """Return the rules version that writers use."""
        found = await self._entity(RULES_ID)
        return found.version if isinstance(found, Rules) else 1

    async def settle(self) -> None:
        """Have read up to where the catalog ends now. Raises a 503 `Problem`."""
        try:
            end = (await self._log.ends(Topic.CATALOG_EVENTS))[0]
            await self._replicas.passing.passed(CATALOG, end - 1, SETTLED_S)
        except (LogError, TimeoutError):
            raise catalog_behind() from None

    async def _entity(self, id_: str) -> AnyEntity | None:
        document = await self._value(lambda keys: keys.entity(id_))
        return None if document is None else read_entity(document)

    async def _claimed(self, claim: str) -> str | None:
        """Id of who holds a claim; None where surely nobody does."""
        value = await self._value(lambda keys: keys.claim(claim))
        if value is None:
            await self.settle()
            value = await self._value(lambda keys: keys.claim(claim))
        return None if value is None else value.decode()

    async def _value(self, name: Callable[[Keys], str]) -> bytes | None:
        """Value of one key, as it stands where the catalog was last seen to be."""
        known_as, seen = name(_NAMES), highest_seen(self._replicas.standings, CATALOG)
        if seen != self._cached_at or len(self._cached) >= CACHED_MAX:
            self._cached.clear()
            self._cached_at = seen
        if known_as in self._cached:
            return self._cached[known_as]
        reading = await self._replicas.read(
            CATALOG, lambda keys: (name(keys),), absent=lambda values: values[0] is None
        )
        [value] = reading.values
        if value is None and reading.behind:
            raise replica_behind()
        if reading.position == self._cached_at:
            self._cached[known_as] = value
        return value
