"""Data keys, as the replica holds them right now: to seal what is written, to open what is read."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from api.replicas import Replicas
from api.resources import HIDDEN_KEY
from api.verdicts import Verdicts
from ledger.domain.license import License
from ledger.event_log.port import LogError
from ledger.sealing.data_key import DataKey, SealBrokenError, dk_of
from ledger.sealing.sealer import Sealer
from projector.read_model import keys

YOUNG_MS: Final = 10_000
LOOK_S: Final = 0.025
LOOKS: Final = 20
NAMED_MAX: Final = 10_000


class StoredKeys:
    """Reads sealed data keys from the replicas."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas

    def name(self, license_: str, dk: str) -> str:
        """Name of a data key in the replicas."""
        return keys.data_key(self._replicas.partition_of(license_), license_, dk)

    async def __call__(self, license_: str, dk: str) -> bytes | None:
        """Value of a data key's record; empty where it was erased, None where it is not known."""
        partition = self._replicas.partition_of(license_)
        name = self.name(license_, dk)
        reading = await self._replicas.read(partition, lambda _: (), (name,))
        [value] = reading.values
        return value


class DataKeys:
    """Seals and opens what is a license's own."""

    def __init__(self, *, sealer: Sealer, stored: StoredKeys, verdicts: Verdicts) -> None:
        self._sealer = sealer
        self._stored = stored
        self._verdicts = verdicts
        self._named: OrderedDict[str, str] = OrderedDict()

    def guess(self, license_: str) -> list[str]:
        """Names of the data keys that a license had last, to be read together with it."""
        dk = self._named.get(license_)
        return [] if dk is None else [self._stored.name(license_, dk)]

    async def for_license(
        self,
        account: str,
        license_: str,
        current: License | None,
        now_ms: int,
        guessed: Sequence[bytes | None] = (),
    ) -> DataKey:
        """Return the data key to seal under, a new one where there is none to be used.

        `guessed`: what the replica holds under the names that `guess` gave. A new one is
        acknowledged by the log before this returns. Raises a 503 `Problem`.
        """
        dk = None if current is None else _dk(current)
        if current is not None and dk is not None:
            if guessed and self._named.get(license_) == dk:
                stored = guessed[0]
            else:
                stored = await self._stored_soon(current, dk, now_ms)
            opened = self._sealer.open_data_key(stored, account=account, license_=license_, dk=dk)
            if isinstance(opened, DataKey):
                self._note(license_, dk)
                return opened
        try:
            return await self._sealer.data_key_for_new(account, license_)
        except LogError as error:
            raise self._verdicts.log_away(error, written="Nothing but a data key") from None

    async def key_of(self, license_: License, now_ms: int) -> str:
        """Return the license's key, or the empty text where it is hidden from now on."""
        dk = _dk(license_)
        if dk is None:
            return HIDDEN_KEY
        stored = await self._stored_soon(license_, dk, now_ms)
        opened = self._sealer.open_text(
            license_.key, stored, account=license_.account, license_=license_.id
        )
        return HIDDEN_KEY if opened is None else opened

    async def keys_of(self, licenses: Sequence[License], now_ms: int) -> list[str]:
        """Keys of licenses, as `key_of` gives them."""
        opened = await self.opened([(each, each.key) for each in licenses], now_ms)
        return [HIDDEN_KEY if key is None else key for key in opened]

    async def opened(
        self, sealed: Sequence[tuple[License, str | None]], now_ms: int
    ) -> list[str | None]:
        """Texts of sealed values of licenses; None where there is none, or it is hidden."""
        needed = {
            (license_.id, dk): license_
            for license_, text in sealed
            if text is not None and (dk := _dk_of(text)) is not None
        }
        values = await asyncio.gather(
            *(self._stored_soon(license_, dk, now_ms) for (_, dk), license_ in needed.items())
        )
        stored = dict(zip(needed, values, strict=True))
        return [
            None
            if text is None
            else self._sealer.open_text(
                text,
                stored.get((license_.id, _dk_of(text) or "")),
                account=license_.account,
                license_=license_.id,
            )
            for license_, text in sealed
        ]

    def _note(self, license_: str, dk: str) -> None:
        self._named[license_] = dk
        if len(self._named) > NAMED_MAX:
            self._named.popitem(last=False)

    async def _stored_soon(self, license_: License, dk: str, now_ms: int) -> bytes | None:
        """Read a data key; wait a moment for a young license's, which is in another topic."""
        for _ in range(LOOKS):
            stored = await self._stored(license_.id, dk)
            if stored is not None or now_ms - license_.issued_ms > YOUNG_MS:
                return stored
            await asyncio.sleep(LOOK_S)
        return None


def _dk(license_: License) -> str | None:
    return _dk_of(license_.key)


def _dk_of(sealed: str) -> str | None:
    try:
        return dk_of(sealed)
    except SealBrokenError:
        return None
