"""The manifest: what a backup holds of which ledger, sealed with the ledger's pepper.

It is replaced in one step, when all that it names is on the disk; so it is always a whole cut.
"""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from ledger.archive.trouble import DamagedBackup, ForeignBackup, OtherFormat
from ledger.domain.events import Digest, Id
from ledger.domain.identifiers import Pepper
from ledger.event_log.port import Topic

FORMAT: Final = 1
_SEAL_BYTES: Final = 32

Count = Annotated[int, Meta(ge=0)]


class Segment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of records of one partition, from offset `first` to before `end`.

    `bytes` and `sha256` are the file's. `chain`: that of the partition's records in the backup
    after its last one (docs/format.md, "State in Redis"); `before_last`: before it. `made_at`: UTC.
    """

    topic: Topic
    partition: Count
    first: Count
    end: Count
    records: Count
    bytes: Count
    sha256: str
    before_last: str
    chain: str
    made_at: str

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return self.name(self.topic, self.partition, self.first)

    @staticmethod
    def name(topic: Topic, partition: int, first: int) -> str:
        """Name of the file of a partition's records from an offset on."""
        return f"{topic}-{partition:04}-{first:019}.gz"


class End(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to where a partition is in the backup, and its chain there."""

    topic: Topic
    partition: Count
    end: Count
    chain: str


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup holds. `seal`: keyed digest of all else, under the ledger's pepper."""

    format: int
    tool: str
    ledger: Id
    partitions: int
    pepper_check: Digest
    made_at: str
    ends: tuple[End, ...] = ()
    segments: tuple[Segment, ...] = ()
    seal: str = ""

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The topics that it holds."""
        return tuple(dict.fromkeys(one.topic for one in self.ends))

    def by_partition(self) -> dict[tuple[Topic, int], list[Segment]]:
        """The segments of each partition, in their order."""
        found: dict[tuple[Topic, int], list[Segment]] = {}
        for one in self.segments:
            found.setdefault((one.topic, one.partition), []).append(one)
        return found


def with_segments(manifest: Manifest, added: list[Segment]) -> Manifest:
    """The manifest with more segments, in the order of their places."""
    order = {topic: number for number, topic in enumerate(Topic)}
    segments = sorted(
        (*manifest.segments, *added), key=lambda one: (order[one.topic], one.partition, one.first)
    )
    last = [[*run][-1] for _, run in groupby(segments, lambda one: (one.topic, one.partition))]
    ends = tuple(
        End(topic=one.topic, partition=one.partition, end=one.end, chain=one.chain) for one in last
    )
    return replace(manifest, segments=tuple(segments), ends=ends)


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Manifest)


def encode(manifest: Manifest, pepper: Pepper) -> bytes:
    """Sealed bytes of a manifest, one line an entry."""
    sealed = replace(manifest, seal=_seal(manifest, pepper))
    return msgspec.json.format(_encoder.encode(sealed), indent=1) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest whose entries are in order, and its ends those of its segments.

    Raises `DamagedBackup`, `OtherFormat`. Whose it is, and whether it is as it was sealed, `check`
    says.
    """
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise DamagedBackup(
            "the backup's manifest can't be read: it was cut off or altered"
        ) from None
    if found.format != FORMAT:
        raise OtherFormat(
            f"the backup is of format {found.format}, and this version reads {FORMAT}: use the "
            f"version that made it ({found.tool})"
        )
    _check_order(found)
    return found


def _check_order(found: Manifest) -> None:
    again = with_segments(replace(found, segments=(), ends=()), list(found.segments))
    if again.segments != found.segments or again.ends != found.ends:
        raise DamagedBackup("the backup's manifest was altered: its ends are not its segments'")
    for _, run in groupby(found.segments, lambda one: (one.topic, one.partition)):
        at = 0
        for one in run:
            gap = one.first != at and not one.topic.compacted
            if gap or one.first < at or one.end <= one.first or not one.records:
                raise DamagedBackup(
                    f"the backup's manifest was altered: after offset {at} comes {one.file}"
                )
            at = one.end


def check(manifest: Manifest, *, pepper: Pepper, partitions: int) -> None:
    """Compare a manifest with this ledger's settings; raises `ForeignBackup`, `DamagedBackup`."""
    if manifest.pepper_check != pepper.check_value:
        raise ForeignBackup(
            f"LEDGER_PEPPER is not the pepper of ledger {manifest.ledger}, whose backup this is: "
            "set the one that was kept with it; without it the log can't be read"
        )
    if manifest.seal != _seal(manifest, pepper):
        raise DamagedBackup("the backup's manifest was altered: its seal is not of what it says")
    if manifest.partitions != partitions:
        raise ForeignBackup(
            f"the backup is of a ledger of {manifest.partitions} partitions, and LEDGER_PARTITIONS "
            f"says {partitions}: set it to {manifest.partitions}; it is fixed for the ledger's life"
        )


def _seal(manifest: Manifest, pepper: Pepper) -> str:
    said = _encoder.encode(replace(manifest, seal=""))
    return pepper.digest("ledger.backup", said, size=_SEAL_BYTES).hex()
