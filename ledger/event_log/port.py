"""The log as a Protocol: topics of ordered records, appended to and read by position.

    LogError
    ├── AppendRefused        certainly not stored: nothing was handed to a socket
    │   ├── RecordTooLarge   above 64 KiB; it will never be taken
    │   └── TooManyAppends   the limit of appends in flight; try again when some are done
    ├── AppendUnknown        may be stored, or become stored (a frozen broker, after its thaw)
    ├── LogUnavailable       nothing could be read, or not in time
    ├── MissingTopic         a topic or partition is not there, or has another partition count
    ├── NotInitialized       a partition without its genesis record: `ledger init` writes it
    ├── ForeignLog           genesis records that are not of this ledger, N or pepper
    └── LostRecords          offsets that should be there are not: stop and say so

The law is docs/format.md ("Topics", "Verdicts").
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

APPEND_TIMEOUT_S: Final = 1.0
"""An append has its outcome within this time, whatever the broker does."""

READ_TIMEOUT_S: Final = 1.0
"""The ends of a topic are told within this time, or LogUnavailable is raised."""

READ_STALL_TIMEOUT_S: Final = 10.0
"""A reading to which nothing arrives for this long raises LogUnavailable."""

VALUE_BYTES_MAX: Final = 64 * 1024
"""A record's value has at most this many bytes (docs/format.md, "Envelope")."""

KEY_BYTES_MAX: Final = 512
HEADERS_BYTES_MAX: Final = 4 * 1024
"""Names and values of a record's headers together; they carry the trace context."""

IN_FLIGHT_MAX: Final = 4096
"""Appends without an outcome that one EventLog holds at a time; more are refused."""

Headers = tuple[tuple[str, bytes], ...]


class Topic(StrEnum):
    """The topics of a ledger."""

    LICENSE_EVENTS = "license-events"
    CATALOG_EVENTS = "catalog-events"
    LICENSE_DATA_KEYS = "license-data-keys"
    INCIDENT_EVENTS = "incident-events"

    @property
    def compacted(self) -> bool:
        """Whether only the last record of a key is kept, so that offsets have gaps."""
        return self is Topic.LICENSE_DATA_KEYS

    def partition_count(self, partitions: int) -> int:
        """Return how many partitions it has in a ledger of N = `partitions`."""
        return 1 if self in {Topic.CATALOG_EVENTS, Topic.INCIDENT_EVENTS} else partitions


FOLDED: Final = (Topic.LICENSE_EVENTS, Topic.CATALOG_EVENTS, Topic.LICENSE_DATA_KEYS)
"""Topics that there is no ledger without. The others came later: a ledger may not have them yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """What the topics are called in Kafka; a prefix keeps ledgers apart on one broker."""

    prefix: str = ""

    def name(self, topic: Topic) -> str:
        """Return the topic's name in Kafka."""
        return f"{self.prefix}{topic}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What stands at one offset. `timestamp_ms` is the broker's LogAppendTime."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Where an acknowledged record stands, and its LogAppendTime."""

    partition: int
    offset: int
    timestamp_ms: int


class LogError(Exception):
    """Trouble with the log. No message holds a key, a value or the pepper."""


class AppendRefused(LogError):
    """The record is certainly not stored and never will be: nothing was handed to a socket."""


class RecordTooLarge(AppendRefused):
    """The record's value, key or headers are above their limit; it will never be taken."""


class TooManyAppends(AppendRefused):
    """So many appends have no outcome yet that no more are taken."""


class AppendUnknown(LogError):
    """The record may be stored, or may become stored later: it was handed to a socket."""


class LogUnavailable(LogError):
    """The log could not be read, or not in time. Later it may be."""


class MissingTopic(LogError):
    """A topic or partition is not there, or the topic has another number of partitions."""


class NotInitialized(LogError):
    """A partition has no genesis record yet: whoever starts before `ledger init` waits for it."""


class ForeignLog(LogError):
    """The log's genesis records belong to another ledger, another N or another pepper."""


class LostRecords(LogError):
    """Offsets are missing where each must be: records were lost, or the log is another one."""


class EventLog(Protocol):
    """An ordered, durable log in partitions. One instance a process and event loop."""

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        """Append one record and wait for the acknowledgement, at most `APPEND_TIMEOUT_S`.

        `value` None is a tombstone, for the data keys only. Appends to one partition are stored
        in the order in which their calls first ran, also when many are in flight (`asyncio.gather`
        and `create_task` run them in the order given); after one of them was refused or unknown,
        later ones may still be stored. A cancelled append has no known outcome.
        Raises AppendRefused, AppendUnknown, MissingTopic.
        """
        ...

    async def ends(self, topic: Topic) -> dict[int, int]:
        """Return the offset after the last record of each partition.

        Raises LogUnavailable (after `READ_TIMEOUT_S` at the latest), MissingTopic.
        """
        ...

    def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        """Read the records of [start, stop) in batches, in order, then end.

        It reads no further than the end that the partition had when the reading began. Where
        nothing arrives for a time LogUnavailable is raised. On the event topics each offset must
        be there, and a `start` behind the end is a loss too: the caller knows of records that are
        gone. Who leaves it early closes it (`contextlib.aclosing`).
        Raises LogUnavailable, MissingTopic, LostRecords.
        """
        ...

    async def close(self) -> None:
        """Let go of everything, in bounded time. Appends without an outcome become unknown."""
        ...


class TimedLog(EventLog, Protocol):
    """A log that also finds where a time begins."""

    async def since(self, topic: Topic, time_ms: int) -> dict[int, int]:
        """Return the offset of each partition's first record of `time_ms` or later, else its end.

        Raises LogUnavailable (after `READ_TIMEOUT_S` at the latest), MissingTopic.
        """
        ...


def check_size(*, key: bytes, value: bytes | None, headers: Headers) -> None:
    """Raise RecordTooLarge for a record above the limits."""
    headers_bytes = sum(len(name.encode()) + len(content) for name, content in headers)
    for what, size, limit in (
        ("value", len(value or b""), VALUE_BYTES_MAX),
        ("key", len(key), KEY_BYTES_MAX),
        ("headers", headers_bytes, HEADERS_BYTES_MAX),
    ):
        if size > limit:
            raise RecordTooLarge(f"a record's {what} has at most {limit} bytes, not {size}")


def check_tombstone(topic: Topic, value: bytes | None) -> None:
    """Raise ValueError for a tombstone where records are kept for ever."""
    if value is None and not topic.compacted:
        raise ValueError(f"{topic} takes no tombstones: what happened, happened")
