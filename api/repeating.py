"""A removal that is repeated: what it removed isn't there to be found any more, its verdict is.

With its Idempotency-Key it is answered as it was at first, for as long as the ledger remembers the
command; without one, or by somebody else, what is gone is not there. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.commands import Asked, Commands, order_digested
from api.finding import Finder
from api.refusals import mismatch
from api.requests import RemovalRequest, canonical
from api.verdicts import Verdicts
from ledger.domain import identifiers
from ledger.domain.events import Revoked
from ledger.domain.identifiers import Pepper, is_id
from ledger.domain.verdicts import Verdict
from projector.views.documents import read_verdict

Before = tuple[str, Verdict]
"""A license, and the verdict that granted what is asked again."""


class Repeating:
    """Finds verdicts on removals. What isn't remembered is None; what can't be told is a 503."""

    def __init__(
        self, *, pepper: Pepper, finder: Finder, commands: Commands, verdicts: Verdicts
    ) -> None:
        self._pepper = pepper
        self._finder = finder
        self._commands = commands
        self._verdicts = verdicts

    async def revoked(self, named: str, asked: Asked) -> Before | None:
        """License of this id or key that this command revoked. Raises a `Problem`."""
        for license_ in self._finder.license_ids(asked.account, named):
            before = await self._before([license_], [order_digested(Revoked())], asked)
            if before is not None:
                return before
        return None

    async def deactivated(self, named: str, asked: Asked) -> Before | None:
        """License whose machine of this id or fingerprint this command took off.

        A machine that is gone doesn't tell its license: a license that asks is its own, everybody
        else has to name the id, which routes as the license's does. Raises a `Problem`.
        """
        if asked.idempotency_key is None:
            return None
        ids = [named.lower()] if is_id(named.lower()) else []
        if asked.who.license is not None:
            own = asked.who.license.id
            licenses = [own]
            ids.append(identifiers.machine_id(self._pepper, own, named))
        elif ids:
            licenses = await self._finder.licenses_routed_as(asked.account, ids[0])
        else:
            return None
        digested = [canonical(RemovalRequest(machine=id_)) for id_ in ids]
        return await self._before(licenses, digested, asked)

    async def _before(
        self, licenses: Sequence[str], digested: Iterable[bytes], asked: Asked
    ) -> Before | None:
        """Licenses of one partition, and what may have been asked of them."""
        if asked.idempotency_key is None or not licenses:
            return None
        commands = [(license_, self._commands.id_of(license_, asked)) for license_ in licenses]
        found = await self._verdicts.remembered(
            identifiers.partition_of(licenses[0], self._finder.partitions),
            lambda keys: [keys.command(*each) for each in commands],
        )
        if found is None:
            return None
        at, document = found
        verdict = read_verdict(document)
        if verdict.content_digest not in {
            identifiers.content_digest(self._pepper, each) for each in digested
        }:
            raise mismatch()
        return (licenses[at], verdict) if verdict.granted else None
