"""Data keys, taken over from their topic into the replica, so that names can be read there.

The topic is compacted: offsets have gaps, the last record of a key wins, a tombstone says that the
key was erased and leaves an empty value.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from ledger.domain.identifiers import partition_of
from ledger.event_log import genesis
from ledger.event_log.port import Topic
from ledger.sealing.records import read_record_key
from projector.logs import say
from projector.metrics import Metrics
from projector.read_model import keys
from projector.read_model.port import ReadModel
from projector.reading import LogRecord
from projector.session import Cursor, Session

CHUNK_RECORDS: Final = 1_000

_log: Final = logging.getLogger(__name__)


class DataKeyCopy(Session):
    """One assigned partition of license-data-keys, of a ledger with `partitions` of them."""

    topic = Topic.LICENSE_DATA_KEYS.value

    def __init__(
        self, partition: int, cursor: Cursor, metrics: Metrics, model: ReadModel, partitions: int
    ) -> None:
        super().__init__(partition, cursor, metrics)
        self._model = model
        self._partitions = partitions

    async def _stored_position(self) -> int:
        [stored] = await self._model.get([keys.data_keys_position(self.partition)])
        return int(stored or b"0")

    async def _work(self, records: Sequence[LogRecord]) -> None:
        for at in range(0, len(records), CHUNK_RECORDS):
            if self.ended or self._doubted or self.position is None:
                return
            chunk = records[at : at + CHUNK_RECORDS]
            end = chunk[-1].offset + 1
            elsewhere = await self._model.take_over(
                self.partition, self.position, end, self._named(chunk)
            )
            if elsewhere is not None:
                self._metrics.mismatches.inc()
                self._doubted = True
                return
            self.position = end
            self._metrics.data_keys.inc(len(chunk))

    def _named(self, records: Sequence[LogRecord]) -> dict[str, bytes]:
        """Values by their key in the store, the last one of each."""
        values = {}
        for record in records:
            if record.key == genesis.RECORD_KEY:
                continue
            name = self._name(record.key)
            if name is None:
                say(
                    _log,
                    logging.ERROR,
                    "a data key's record key is no license id and data key id",
                    partition=self.partition,
                    offset=record.offset,
                )
                continue
            values[name] = record.value or b""
        return values

    def _name(self, key: bytes | None) -> str | None:
        named = read_record_key(key)
        if named is None or partition_of(named[0], self._partitions) != self.partition:
            return None
        return keys.data_key(self.partition, *named)
