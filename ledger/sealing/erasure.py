"""Erasure: a tombstone for each data key of a license (docs/operations/secrets.md, "Erasing").

No verdict, digest or seat changes by it: the fold sees ciphertext and digests only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ledger.domain.identifiers import partition_of
from ledger.event_log.port import EventLog, Record, Topic
from ledger.sealing.records import read_record_key, record_key

PASSES_MAX: Final = 64


class ErasureUnfinishedError(Exception):
    """New data keys of the license kept coming, pass after pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What was done. `data_keys`: every dk that the log has a record of, erased now or before.

    `erased`: how many were live until now. `left_in_log`: of how many the log still holds the
    sealed bytes, until it compacts them away; a later run that finds none is the proof.
    """

    license: str
    partition: int
    data_keys: tuple[str, ...]
    erased: int
    left_in_log: int


async def erase(log: EventLog, license_: str, *, partitions: int) -> Erasure:
    """Erase all data keys of a license: when this returns, none is live at the log's end.

    Where the log still holds keys that were erased before, their tombstones are appended again:
    Kafka closes a segment, and so compacts it, only when something is appended.
    Raises what `append`, `ends` and `read` raise (running it again is safe, and goes on where it
    was), or `ErasureUnfinishedError`.
    """
    found = _Found(license_, partition_of(license_, partitions))
    await found.read_on(log)
    erased: set[str] = set()
    to_bury = found.in_log
    for _ in range(PASSES_MAX):
        if not to_bury:
            return found.erasure(len(erased))
        erased |= found.live
        for dk in sorted(to_bury):
            await log.append(
                Topic.LICENSE_DATA_KEYS,
                found.partition,
                key=record_key(license_, dk),
                value=None,
            )
        # Reads these tombstones, and whatever came in the meantime.
        await found.read_on(log)
        to_bury = found.live
    raise ErasureUnfinishedError("data keys of the license keep coming; stop their issuing first")


class _Found:
    """The license's data keys in its partition, as far as that was read."""

    def __init__(self, license_: str, partition: int) -> None:
        self.license: Final = license_
        self.partition: Final = partition
        self.in_log: frozenset[str] = frozenset()
        """Of which the log holds the sealed bytes."""
        self._live: dict[str, bool] = {}
        self._position = 0

    @property
    def live(self) -> frozenset[str]:
        """Those whose last record is no tombstone."""
        return frozenset(dk for dk, live in self._live.items() if live)

    async def read_on(self, log: EventLog) -> None:
        """Read from where the last reading ended to the log's end of now."""
        stop = (await log.ends(Topic.LICENSE_DATA_KEYS))[self.partition]
        if stop <= self._position:
            return
        batches = log.read(Topic.LICENSE_DATA_KEYS, self.partition, start=self._position, stop=stop)
        async for batch in batches:
            for record in batch:
                self._take(record)
        self._position = stop

    def _take(self, record: Record) -> None:
        license_, dk = read_record_key(record.key) or ("", "")
        if license_ != self.license:
            return
        self._live[dk] = record.value is not None
        if record.value is not None:
            self.in_log |= {dk}

    def erasure(self, erased: int) -> Erasure:
        return Erasure(
            license=self.license,
            partition=self.partition,
            data_keys=tuple(sorted(self._live)),
            erased=erased,
            left_in_log=len(self.in_log),
        )
