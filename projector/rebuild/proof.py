"""What a proof says: what was compared and how, or what is wrong; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

from projector.rebuild.differences import Difference, named

NAMED_MAX: Final = 10
"""Licenses named in one line; of more it is said how many."""

Against = Literal["the log", "what serves"]


class Changes(Struct, frozen=True, kw_only=True):
    """What will be another where a generation serves that was proved by the log alone.

    `owners`: licenses, and ids of the catalog, by place, all of them. `count`: documents, members
    and heads that differ; `differences`: some of them, what serves as `expected`.
    """

    owners: Mapping[int, Sequence[str]]
    count: int
    differences: Sequence[Difference]


class Proof(Struct, frozen=True, kw_only=True):
    """What the comparison with the generation that serves gave, by number of places.

    `compared`: their state digests are equal; `documents`: those of the documents are, too; of
    the others the view has changed. `by_cut`: of the compared, those that were so at the last
    cut of both, since they were never seen at one position; of their heads the chain was compared.
    `one_by_one`: all documents, remembered commands and records set aside are equal, where digests
    can't be: an older release keeps none, or licenses are frozen in one of the two only (`frozen`,
    by place), which were left out. `changes`: None where nothing may differ.
    """

    compared: int
    documents: int
    by_cut: int
    one_by_one: int
    frozen: Mapping[int, Sequence[str]]
    changes: Changes | None = None


class NotProvedError(Exception):
    """A generation isn't what it has to be.

    `wrong`: in words, by place. `differences`: some of what differs, with both forms; `count`:
    how much does. `against`: what is expected.
    """

    def __init__(
        self,
        text: str,
        wrong: Mapping[int, Sequence[str]],
        differences: Sequence[Difference] = (),
        *,
        against: Against,
        count: int = 0,
    ) -> None:
        super().__init__(text)
        self.wrong = wrong
        self.differences = differences
        self.count = max(count, len(differences))
        self.against = against


def see_to_agreed(proof: Proof, agreed: Changes | None) -> None:
    """Raise `NotProvedError` where something will be another that nobody has agreed to."""
    changes = proof.changes
    if changes is None:
        return
    known = {} if agreed is None else {place: set(ids) for place, ids in agreed.owners.items()}
    wrong = {
        place: [f"licenses {listed(others)} would be others, too"]
        for place, owners in changes.owners.items()
        if (others := [one for one in owners if one not in known.get(place, ())])
    }
    if wrong:
        raise NotProvedError(
            f"more would change than was agreed to, in {places_named(wrong)}",
            wrong,
            [one for one in changes.differences if one.place in wrong],
            against="what serves",
        )


def listed(names: Sequence[str], most: int = NAMED_MAX) -> str:
    """Name some, and say how many more there are."""
    left = len(names) - most
    return ", ".join(names[:most]) + (f" and {left:,} more" if left > 0 else "")


def places_named(places: Iterable[int]) -> str:
    """Name some places, and say how many more there are."""
    names = [named(place) for place in places]
    left = len(names) - 5
    return ", ".join(names[:5]) + (f" and {left} more" if left > 0 else "")
