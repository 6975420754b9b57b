"""What a rehearsal tells: verdicts and states that would be others, and of how many; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, Protocol

from msgspec import Struct

from projector.rebuild.bulk import Held
from projector.views.documents import Head, license_document, machine_document, read_verdict

Kind = Literal["verdict", "license", "machine"]


class Change(Struct, frozen=True, kw_only=True):
    """One thing of a license that would be another.

    `id`: the command's, of a verdict; else the license's or the machine's own. `before`, `after`:
    JSON as it is stored, of a license its state; None: there is none.
    """

    partition: int
    license: str
    kind: Kind
    id: str
    before: bytes | None
    after: bytes | None

    @property
    def time_ms(self) -> int | None:
        """When the command of a verdict was sent, in milliseconds since 1970."""
        document = self.before or self.after
        if self.kind != "verdict" or document is None:
            return None
        try:
            return read_verdict(document).time_ms
        except ValueError:
            return None


class Changes(Protocol):
    """Changes in their order; how many are `verdicts`, and of which `licenses` they are."""

    @property
    def verdicts(self) -> int: ...  # noqa: D102 - said above

    @property
    def licenses(self) -> AbstractSet[str]: ...  # noqa: D102 - said above

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Change]: ...


class Compared(Struct, frozen=True, kw_only=True):
    """What the comparison of one partition gave.

    `head`: to where it was folded, with the log's fingerprint there. `verdicts`, `licenses`,
    `machines`: how many were compared. `apart`: its digests differ, and no document does.
    """

    partition: int
    head: Head
    verdicts: int
    licenses: int
    machines: int
    changes: Changes
    apart: bool = False

    @property
    def position(self) -> int:
        """The next offset after what was folded."""
        return self.head.position


class Rehearsed(Struct, frozen=True, kw_only=True):
    """What a rehearsal gave, by partition in their order."""

    partitions: Sequence[Compared]

    @property
    def positions(self) -> tuple[int, ...]:
        """To where each partition was folded: the next offset."""
        return tuple(one.position for one in self.partitions)

    @property
    def changes(self) -> Iterator[Change]:
        """All that would be otherwise, one after the other."""
        return (change for one in self.partitions for change in one.changes)

    @property
    def apart(self) -> list[int]:
        """Partitions whose digests differ without a document that does."""
        return [one.partition for one in self.partitions if one.apart]

    @property
    def verdicts(self) -> int:
        """How many verdicts were compared."""
        return sum(one.verdicts for one in self.partitions)

    @property
    def licenses(self) -> int:
        """How many licenses were compared."""
        return sum(one.licenses for one in self.partitions)

    @property
    def machines(self) -> int:
        """How many machines were compared."""
        return sum(one.machines for one in self.partitions)

    @property
    def changed_verdicts(self) -> int:
        """How many verdicts would be others."""
        return sum(one.changes.verdicts for one in self.partitions)

    @property
    def changed_licenses(self) -> int:
        """How many licenses have a verdict, a state or a machine that would be another."""
        return len(set[str]().union(*(one.changes.licenses for one in self.partitions)))

    @property
    def same(self) -> bool:
        """Whether nothing would be otherwise."""
        return not any(one.changes or one.apart for one in self.partitions)


def license_state(held: Held, id_: str) -> bytes | None:
    """State of a license as it is stored; None where there is none."""
    license_ = held.licenses.get(id_)
    return None if license_ is None else state_of(license_document(license_))


def machine_state(held: Held, id_: str) -> bytes | None:
    """State of a machine as it is stored; None where there is none."""
    machine = held.machines.get(id_)
    return None if machine is None else machine_document(machine)


def state_of(document: bytes) -> bytes:
    """State in a license's document: the rest is the answer, which a release may render anew."""
    return document.partition(b"\n")[0]
