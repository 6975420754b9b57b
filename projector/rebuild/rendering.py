"""What a partition folded in memory is stored as: keys, values, members, digests; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from projector.changes import places
from projector.read_model.keys import FROZEN, Keys
from projector.rebuild.bulk import Held, Kept
from projector.views.digests import NOTHING, Digests, Weigher, plus
from projector.views.documents import license_document, machine_document
from projector.views.set_aside import SetAside, set_aside_member

UNRENDERABLE: Final = (TypeError, ValueError, KeyError, AttributeError)
"""What rendering raises of a state that has no document: it isn't that of a fold that is right."""
MEMBERS_MAX: Final = 1_000
"""Members of a sorted set that one piece holds."""

String = tuple[str, bytes]
Members = tuple[str, Mapping[str | bytes, int]]


class Rendering:
    """Renders what is held, piece by piece, and sums up the digests meanwhile."""

    def __init__(self, held: Held, keys: Keys, weigher: Weigher) -> None:
        self._held = held
        self._keys = keys
        self._weigher = weigher
        self._state = 0
        self._documents = 0

    def digests(self, position: int) -> Digests:
        """Digests of all that was rendered, which stands at `position`."""
        return Digests(
            position=position,
            state=plus(NOTHING.state, self._state),
            documents=plus(NOTHING.documents, self._documents),
            view=NOTHING.view,
        )

    def strings(self) -> Iterator[String]:
        """Keys and values of all documents."""
        keys, weigher = self._keys, self._weigher
        for id_, license_ in self._held.licenses.items():
            document = license_document(license_)
            state, whole = weigher.weigh_license(f"L:{id_}", document)
            self._state += state
            self._documents += whole
            yield keys.license(id_), document
        for id_, machine in self._held.machines.items():
            document = machine_document(machine)
            self._state += weigher.weigh(f"M:{id_}", document)
            yield keys.machine(id_), document
        for id_, memory in self._held.memories.items():
            for command, kept in memory.items():
                name = f"C:{id_}:{command}"
                self._state += weigher.weigh_command(name, kept.elapsed_ms, kept.document)
                yield keys.command(id_, command), kept.document

    def sorted_sets(self) -> Iterator[Members]:
        """Keys and members with their scores; a set may come in several pieces."""
        yield from self._memories()
        yield from self._machines()
        yield from self._licenses()
        yield from self._aside()

    def _memories(self) -> Iterator[Members]:
        for id_, memory in self._held.memories.items():
            yield self._keys.commands(id_), _members(memory)

    def _machines(self) -> Iterator[Members]:
        gathered = _Gathered()
        licenses, keys = self._held.licenses, self._keys
        for id_, machine in self._held.machines.items():
            account = licenses[machine.license].account
            yield from gathered.add(
                keys.machines_of_license(machine.license), id_, machine.activated_offset
            )
            member = f"{machine.fingerprint_digest}:{id_}"
            yield from gathered.add(keys.machines_by_fingerprint(account), member, 0)
            yield from gathered.add(keys.machines_of_account(account), id_, machine.activated_ms)
        yield from gathered.rest()

    def _licenses(self) -> Iterator[Members]:
        gathered = _Gathered()
        for id_, license_ in self._held.licenses.items():
            for key, score in places(self._keys, license_).items():
                yield from gathered.add(key, id_, score)
            if license_.frozen_at is not None:
                yield from gathered.add(self._keys.set_aside(FROZEN), id_, license_.frozen_at)
        yield from gathered.rest()

    def _aside(self) -> Iterator[Members]:
        for id_, records in self._held.aside.items():
            key = self._keys.set_aside(id_)
            for at in range(0, len(records), MEMBERS_MAX):
                yield key, dict(self._weighed(key, one) for one in records[at : at + MEMBERS_MAX])

    def _weighed(self, key: str, record: SetAside) -> tuple[bytes, int]:
        member = set_aside_member(record)
        name = self._keys.short(key)
        self._state += self._weigher.weigh_set_aside(name, record.offset, member)
        return member, record.offset


class _Gathered:
    """Members of many sorted sets, given in pieces of a bounded size."""

    def __init__(self) -> None:
        self._sets: dict[str, dict[str | bytes, int]] = {}
        self._count = 0

    def add(self, key: str, member: str, score: int) -> Iterator[Members]:
        members = self._sets.setdefault(key, {})
        members[member] = score
        self._count += 1
        if len(members) >= MEMBERS_MAX:
            self._count -= len(members)
            yield key, self._sets.pop(key)

    def rest(self) -> Iterator[Members]:
        yield from self._sets.items()
        self._sets = {}


def _members(memory: Mapping[str, Kept]) -> dict[str | bytes, int]:
    return {f"{kept.elapsed_ms}:{command}": kept.offset for command, kept in memory.items()}
