"""The policies that licenses of an export are to be under, as the catalog has them."""

from __future__ import annotations

from collections.abc import Sequence

from cli.importing.scan import ImportRefusedError
from cli.importing.vendor_rows import Ready, said_as
from cli.importing.vendor_scan import Table
from cli.replica import Replicas
from ledger.domain.catalog.entities import Policy
from ledger.sources.vendor_csv import LicenseRow


class Policies:
    """Policies of an account; `default`: id of the one for rows that name none."""

    def __init__(self, replicas: Replicas, account: str, default: str | None) -> None:
        self._replicas = replicas
        self._account = account
        self._default = None if default is None else default.strip().lower()
        self._found: dict[str, Policy | None] = {}

    async def check(self, tables: Sequence[Table]) -> None:
        """Raise `ImportRefusedError` where the default isn't there, or needed and not named."""
        await self._look_up([self._default])
        if self._default is not None and self._found[self._default] is None:
            raise ImportRefusedError(
                f"--policy {self._default}: there is no such policy; `ledger policy list` tells "
                "which there are"
            )
        for table in tables:
            named = table.kind == "machines" or "policy" in table.shape.columns
            if self._default is None and not named:
                raise ImportRefusedError(
                    f"{table.path}: no policy is named: say one for all of its lines with --policy "
                    "(`ledger policy list`), or one in each with a column policy"
                )

    async def of(self, rows: Sequence[Ready]) -> list[Policy | None]:
        """Return the policy of each row of licenses: the one that it names, else the default."""
        named = [said_as(one, LicenseRow).policy or self._default for one in rows]
        await self._look_up(named)
        return [None if id_ is None else self._found[id_] for id_ in named]

    async def _look_up(self, named: Sequence[str | None]) -> None:
        new = sorted({id_ for id_ in named if id_ is not None} - self._found.keys())
        for id_, policy in zip(new, await self._replicas.policies(new), strict=True):
            own = policy is not None and policy.account == self._account
            self._found[id_] = policy if own else None
