"""Opening a license's sealed values with the data keys that the log holds of it now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cli.wording import as_values
from ledger.domain.events import ActivationRequested, DenialImported, Event
from ledger.domain.license import Machine
from ledger.event_log.port import EventLog, Topic
from ledger.sealing.data_key import DataKey, SealBrokenError, dk_of
from ledger.sealing.key_ring import KeyRing, SealKeyLostError
from ledger.sealing.records import UndecodableDataKeyError, read_record_key

ERASED: Final = "(erased)"
LOST: Final = "(its seal key is not in LEDGER_SEAL_KEYS)"
BROKEN: Final = "(sealed, and does not open: altered, or not of this license)"


async def read_data_keys(log: EventLog, partition: int, license_: str) -> dict[str, bytes | None]:
    """The license's data keys in the log, by name; None where erased. Raises `LogError`."""
    found: dict[str, bytes | None] = {}
    async for records in log.read(Topic.LICENSE_DATA_KEYS, partition, start=0):
        for record in records:
            whose, dk = read_record_key(record.key) or ("", "")
            if whose == license_:
                found[dk] = record.value
    return found


class Opener:
    """Opens sealed values of one license, or says why not."""

    def __init__(
        self,
        *,
        ring: KeyRing,
        account: str,
        license_: str,
        data_keys: Mapping[str, bytes | None],
    ) -> None:
        self._ring = ring
        self._account = account
        self._license = license_
        self._data_keys = data_keys
        self._opened: dict[str, DataKey] = {}

    def word(self, sealed: str) -> str:
        """The value, or in brackets why it is hidden; nothing of nothing."""
        if not sealed:
            return ""
        try:
            dk = dk_of(sealed)
            stored = self._data_keys.get(dk)
            if stored is None:
                return ERASED
            if dk not in self._opened:
                self._opened[dk] = self._ring.unwrap(
                    stored, account=self._account, license_=self._license, dk=dk
                )
            return self._opened[dk].open(self._account, self._license, sealed)
        except SealKeyLostError:
            return LOST
        except (SealBrokenError, UndecodableDataKeyError):
            return BROKEN

    def values(self, event: Event, machine: Machine | None) -> dict[str, Any]:
        """What an event is about, opened: a machine's fingerprint and names, a denial's reason.

        And what else it says.
        """
        data = event.data
        found: dict[str, Any] = {}
        named = data if isinstance(data, ActivationRequested) else machine
        if named is not None:
            found["machine"] = named.machine if isinstance(named, ActivationRequested) else named.id
            found["seats"] = named.seats
            for name in ("fingerprint", "name", "hostname", "ip"):
                if sealed := getattr(named, name):
                    found[name] = self.word(sealed)
        elif (about := getattr(data, "machine", None)) is not None:
            found["machine"] = about
        if isinstance(data, DenialImported):
            found |= {"kind": data.kind, "seats": data.seats, "reason": data.reason}
        return found | as_values(data)
