"""The sealer: makes and opens data keys for whoever writes or shows personal values.

It never remembers which data keys exist: callers pass, or `stored` reads, what the replica holds
right now, so a data key that was erased is not used again by anybody who can see the erasure.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final, Protocol

from ledger.domain.identifiers import partition_of
from ledger.event_log.port import EventLog, Topic
from ledger.sealing.data_key import DataKey, SealBrokenError, dk_of
from ledger.sealing.key_ring import KeyRing, SealKeyLostError
from ledger.sealing.records import ERASED, UndecodableDataKeyError, record_key

OPENED_MAX: Final = 4096


class Hidden(Enum):
    """Why a sealed value is not shown; none of it fails a check or a write."""

    ERASED = "erased"
    UNKNOWN = "unknown"
    """The replica has no such data key, or not yet."""
    SEAL_KEY_LOST = "seal-key-lost"
    BROKEN = "broken"
    """Altered, or sealed under other bytes than the ring has for the kid: a person has to look."""


class StoredDataKeys(Protocol):
    """Where the sealed data keys are looked up: a replica."""

    async def __call__(self, license_: str, dk: str) -> bytes | None:
        """Value of the data key's record; `ERASED` where it was erased, None where unknown."""


class Sealer:
    """Makes and opens the data keys of a ledger of `partitions`; bounded in memory."""

    def __init__(
        self,
        *,
        ring: KeyRing,
        log: EventLog,
        partitions: int,
        stored: StoredDataKeys,
        opened_max: int = OPENED_MAX,
    ) -> None:
        self._ring = ring
        self._log = log
        self._partitions = partitions
        self._stored = stored
        self._opened_max = opened_max
        self._opened: OrderedDict[tuple[bytes, str, str, str], DataKey] = OrderedDict()
        """By the very bytes that the replica holds; those of an erased key it holds no more."""

    @property
    def remembered(self) -> int:
        """How many opened data keys are in memory; at most `opened_max`."""
        return len(self._opened)

    async def data_key_for_new(self, account: str, license_: str) -> DataKey:
        """Make a data key and put it into the log; it is acknowledged when this returns.

        Only then may anything that is sealed under it be appended. Raises what `append` raises;
        after AppendUnknown the data key may come to stand in the log, and nobody uses it.
        """
        data_key = DataKey.new()
        value = self._ring.wrap(data_key, account=account, license_=license_)
        await self._log.append(
            Topic.LICENSE_DATA_KEYS,
            partition_of(license_, self._partitions),
            key=record_key(license_, data_key.dk),
            value=value,
        )
        self._remember((value, account, license_, data_key.dk), data_key)
        return data_key

    async def data_key_for(self, account: str, license_: str, dk_hint: str | None) -> DataKey:
        """Open the license's data key `dk_hint`, or make a new one where that can't be used.

        It can't where it was erased, is not known here, or its seal key is lost.
        Raises what `stored` and `append` raise.
        """
        if dk_hint is not None:
            stored = await self._stored(license_, dk_hint)
            found = self.open_data_key(stored, account=account, license_=license_, dk=dk_hint)
            if isinstance(found, DataKey):
                return found
        return await self.data_key_for_new(account, license_)

    def open_data_key(
        self, stored: bytes | None, *, account: str, license_: str, dk: str
    ) -> DataKey | Hidden:
        """Open a data key from what the replica holds of it right now, or say why not."""
        if stored is None:
            return Hidden.UNKNOWN
        if stored == ERASED:
            return Hidden.ERASED
        name = (stored, account, license_, dk)
        data_key = self._opened.get(name)
        if data_key is not None:
            self._opened.move_to_end(name)
            return data_key
        try:
            data_key = self._ring.unwrap(stored, account=account, license_=license_, dk=dk)
        except SealKeyLostError:
            return Hidden.SEAL_KEY_LOST
        except (SealBrokenError, UndecodableDataKeyError):
            return Hidden.BROKEN
        self._remember(name, data_key)
        return data_key

    def open_or_hide(
        self, sealed: str, stored: bytes | None, *, account: str, license_: str
    ) -> str | Hidden:
        """Open a sealed value of the license, or say why it is hidden."""
        try:
            found = self.open_data_key(stored, account=account, license_=license_, dk=dk_of(sealed))
            return found.open(account, license_, sealed) if isinstance(found, DataKey) else found
        except SealBrokenError:
            return Hidden.BROKEN

    def open_text(
        self, sealed: str, stored: bytes | None, *, account: str, license_: str
    ) -> str | None:
        """Open a sealed value of the license; None where it is hidden, whatever the reason."""
        text = self.open_or_hide(sealed, stored, account=account, license_=license_)
        return text if isinstance(text, str) else None

    def _remember(self, name: tuple[bytes, str, str, str], data_key: DataKey) -> None:
        self._opened[name] = data_key
        if len(self._opened) > self._opened_max:
            self._opened.popitem(last=False)
