"""Documents of a partition that are at hand, as they stand at one position; pure.

What stands here is right at exactly one position: whoever holds it drops it whole when the stored
position is another one, or may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeVar

from ledger.domain.license import FORGOTTEN_MAX, MEMORY_COMMANDS, MEMORY_MS, License, Machine
from ledger.domain.verdicts import Remembered, Verdict
from projector.read_model.keys import Keys
from projector.reading import Reading
from projector.views.digests import Digests, Weigher
from projector.views.documents import read_license, read_machine, read_verdict

T = TypeVar("T")
W = TypeVar("W")

DOCUMENTS_MAX: Final = 50_000
"""Licenses, and machines, kept at hand by a process, all partitions together: some 150 MB."""
DOCUMENTS_LEAST: Final = 500
_KEPT_SHARE: Final = 0.75


class Oldest:
    """Front of a license's command memory; `complete`: the store holds no more than this."""

    __slots__ = ("complete", "members")

    def __init__(self, members: list[Remembered], *, complete: bool) -> None:
        self.members = members
        self.complete = complete

    def forgot(self, count: int) -> None:
        """Drop the first `count`."""
        del self.members[:count]


def share(partitions: int) -> int:
    """How many of the documents at hand are one partition's."""
    return max(DOCUMENTS_MAX // partitions, DOCUMENTS_LEAST)


class Documents:
    """Licenses and machines by id (None: there is none), and what one reading needs besides.

    `limit`: how many of each are kept from one reading to the next. `digests`: of all that the
    store holds; None where they aren't known. `license_weights`, `machine_weights`: of what it
    holds of these, so that the digests can move on; a document there is one not weighed yet.
    `forgettable`: documents of the verdicts that the reading may forget.
    """

    __slots__ = (
        "_first_elapsed_ms",
        "_keys",
        "_limit",
        "digests",
        "forgettable",
        "license_weights",
        "licenses",
        "machine_weights",
        "machines",
        "oldest",
        "verdicts",
        "weigher",
    )

    def __init__(self, keys: Keys, weigher: Weigher, limit: int = DOCUMENTS_LEAST) -> None:
        self._keys = keys
        self._limit = limit
        self.weigher = weigher
        self.digests: Digests | None = None
        self.license_weights: dict[str, bytes | tuple[int, int]] = {}
        self.machine_weights: dict[str, bytes | int] = {}
        self.forgettable: dict[tuple[str, str], bytes] = {}
        self.licenses: dict[str, License | None] = {}
        self.machines: dict[str, Machine | None] = {}
        self.verdicts: dict[tuple[str, str], Verdict | None] = {}
        self.oldest: dict[str, Oldest] = {}
        # Elapsed clock of each license's oldest remembered command, or of an older one.
        self._first_elapsed_ms: dict[str, int] = {}

    def begin(self) -> None:
        """Make room for another reading: drop the oldest, and what only the last one needed."""
        self.verdicts.clear()
        self.oldest.clear()
        self.forgettable.clear()
        _trim(self._limit, self.licenses, self.license_weights)
        _trim(self._limit, self.machines, self.machine_weights)
        _trim(self._limit, self._first_elapsed_ms)

    def missing(self, reading: Reading) -> list[str]:
        """Keys that `take` wants the values of, so that `reading` can be folded."""
        keys = self._keys
        licenses, machines = self.licenses, self.machines
        absent = [keys.license(id_) for id_ in _unknown(reading.licenses, licenses)]
        absent += [keys.machine(id_) for id_ in _unknown(reading.machines, machines)]
        for license_, command in reading.commands:
            # Of a license that never was, nothing is remembered.
            if licenses.get(license_, ...) is not None:
                absent.append(keys.command(license_, command))
        return absent

    def take(self, reading: Reading, values: Sequence[bytes | None]) -> None:
        """Enter the values of the keys that `missing` has named, in its order."""
        answers = iter(values)
        commands = [
            name for name in reading.commands if self.licenses.get(name[0], ...) is not None
        ]
        _enter(self.licenses, self.license_weights, reading.licenses, answers, read_license)
        _enter(self.machines, self.machine_weights, reading.machines, answers, read_machine)
        for name in commands:
            document = next(answers)
            self.verdicts[name] = None if document is None else read_verdict(document)

    def fronts(self, reading: Reading, elapsed_ms: int) -> dict[str, int]:
        """Licenses at hand that may forget by `elapsed_ms`, and how many of their oldest to load.

        When the oldest is too young to be forgotten, nothing is: so mostly none are loaded.
        """
        wanted = {}
        for id_, commands in reading.licenses.items():
            if not commands or id_ in self.oldest or id_ not in self.licenses:
                continue
            license_ = self.licenses[id_]
            if license_ is None:
                self.oldest[id_] = Oldest([], complete=True)
            elif license_.commands + commands > MEMORY_COMMANDS:
                first_ms = self._first_elapsed_ms.get(id_)
                if first_ms is None or elapsed_ms - first_ms > MEMORY_MS:
                    wanted[id_] = FORGOTTEN_MAX
        return wanted

    def more_fronts(self, reading: Reading, elapsed_ms: int) -> dict[str, int]:
        """As `fronts`: those that may forget all that is at hand by the time of `elapsed_ms`.

        An event forgets 8 at most, but hardly ever more than one: so first one an event, and
        eight only where those don't reach.
        """
        wanted = {}
        for id_, oldest in self.oldest.items():
            if oldest.complete or elapsed_ms - oldest.members[-1].elapsed_ms <= MEMORY_MS:
                continue
            one_each = reading.licenses[id_] + FORGOTTEN_MAX
            most = reading.licenses[id_] * FORGOTTEN_MAX
            if len(oldest.members) < most:
                wanted[id_] = most if len(oldest.members) >= one_each else min(one_each, most)
        return wanted

    def take_fronts(
        self, wanted: Mapping[str, int], found: Mapping[str, list[tuple[bytes, int]]]
    ) -> None:
        """Enter the fronts that `fronts` or `more_fronts` has named."""
        for id_, count in wanted.items():
            members = [remembered(*entry) for entry in found[self._keys.commands(id_)]]
            self.oldest[id_] = Oldest(members, complete=len(members) < count)
            if members:
                self._first_elapsed_ms[id_] = members[0].elapsed_ms

    def due(self, reading: Reading, elapsed_ms: int) -> list[tuple[str, str]]:
        """Commands, by license, that the reading may forget: `take_due` wants their documents."""
        wanted = []
        for id_, oldest in self.oldest.items():
            most = reading.licenses[id_] * FORGOTTEN_MAX
            for old in oldest.members[:most]:
                if elapsed_ms - old.elapsed_ms <= MEMORY_MS:
                    break
                wanted.append((id_, old.command))
        return wanted

    def take_due(self, wanted: Sequence[tuple[str, str]], values: Sequence[bytes | None]) -> None:
        """Enter the documents that `due` has named."""
        for name, document in zip(wanted, values, strict=True):
            self.forgettable[name] = document or b""


def remembered(member: bytes, offset: int) -> Remembered:
    """Command of its member of a memory, and that member's score."""
    elapsed_ms, _, command = member.partition(b":")
    return Remembered(offset=offset, elapsed_ms=int(elapsed_ms), command=command.decode())


def _unknown(names: Iterable[str], known: dict[str, T]) -> list[str]:
    """Names that aren't at hand; those that are become the youngest."""
    unknown = []
    for name in names:
        if name in known:
            known[name] = known.pop(name)
        else:
            unknown.append(name)
    return unknown


def _enter(
    known: dict[str, T | None],
    weights: MutableMapping[str, bytes | W],
    names: Iterable[str],
    answers: Iterable[bytes | None],
    read: Callable[[bytes], T],
) -> None:
    unknown = [name for name in names if name not in known]
    for name, document in zip(unknown, answers, strict=False):
        if document is None:
            known[name] = None
        else:
            known[name] = read(document)
            weights[name] = document


def _trim(limit: int, known: dict[str, Any], weights: dict[str, Any] | None = None) -> None:
    if len(known) <= limit:
        return
    for name in list(known)[: len(known) - int(limit * _KEPT_SHARE)]:
        del known[name]
        if weights is not None:
            weights.pop(name, None)
