"""What came of comparing replicas, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from cli import output
from cli.rebuilding.showing import difference_documents, print_differences
from cli.verifying.documents import OfPair, OfReplica
from projector.rebuild.differences import named
from projector.rebuild.proof import listed
from projector.verifying.between import Between
from projector.verifying.comparison import Beside

_RUNBOOK: Final = "docs/operations/verify.md"


def are_equal(replicas: Sequence[OfReplica], pairs: Sequence[OfPair]) -> bool:
    """Whether nothing is wrong with any."""
    beside_the_log = all(each.equal for one in replicas for each in one.places)
    return beside_the_log and all(each.equal for one in pairs for each in one.places)


def print_replicas(replicas: Sequence[OfReplica]) -> None:
    """Print how replicas are beside the log."""
    for one in replicas:
        _print(
            f"replica {one.replica}",
            one.places,
            f"{sum(each.read for each in one.places):,} keys and members are as a fresh fold of "
            "the log has them",
            ("stored", "a fresh fold"),
        )


def print_pairs(pairs: Sequence[OfPair]) -> None:
    """Print how replicas are beside each other."""
    for one in pairs:
        mine, theirs = one.replicas
        by = {kind: sum(each.by == kind for each in one.places) for kind in _BY}
        told = ", ".join(f"{count} {_BY[kind]}" for kind, count in by.items() if count)
        _print(
            f"replicas {mine} and {theirs}",
            one.places,
            f"equal in {len(one.places)} places: {told}",
            (f"replica {mine}", f"replica {theirs}"),
        )


def replica_documents(replicas: Sequence[OfReplica]) -> list[dict[str, Any]]:
    """Replicas beside the log, for programs."""
    return [
        {
            "replica": one.replica,
            "equal": all(each.equal for each in one.places),
            "places": len(one.places),
            "read": sum(each.read for each in one.places),
            "findings": [_finding(each) for each in one.places if not each.equal],
            **_left_out(one.places),
            "notes": {named(each.place): list(each.notes) for each in one.places if each.notes},
        }
        for one in replicas
    ]


def pair_documents(pairs: Sequence[OfPair]) -> list[dict[str, Any]]:
    """Replicas beside each other, for programs."""
    return [
        {
            "replicas": list(one.replicas),
            "equal": all(each.equal for each in one.places),
            "places": [
                {"place": named(each.place), "position": each.position, "by": each.by}
                for each in one.places
            ],
            "findings": [_finding(each) for each in one.places if not each.equal],
            **_left_out(one.places),
        }
        for one in pairs
    ]


_BY: Final = {
    "now": "by their digests now",
    "cut": "by those of an equal position before",
    "documents": "by their documents",
}


def _print(
    who: str, places: Sequence[Beside | Between], equal: str, forms: tuple[str, str]
) -> None:
    console, errors = output.console(), output.error_console()
    wrong = [each for each in places if not each.equal]
    for each in wrong:
        for said in _said(each):
            line = output.plain(f"{who}, {named(each.place)}: {said}")
            console.print(Text("✗ ", style="bold red").append_text(line))
        print_differences(errors, each.differences, _count(each), forms)
    if not wrong:
        console.print(output.plain(f"{who}: {equal}."))
    for each in places:
        if each.frozen:
            output.remark(
                f"{who}, {named(each.place)}: left out, since frozen in one only: "
                f"{listed(each.frozen)}"
            )
        for note in each.notes if isinstance(each, Beside) else ():
            output.remark(f"{who}, {named(each.place)}: {note}")
    if wrong:
        output.remark(f"What to do: {_RUNBOOK}")


def _said(place: Beside | Between) -> Iterator[str]:
    yield from place.wrong
    if place.differences:
        owners = sorted({one.owner for one in place.differences})
        yield f"{listed(owners)} {'differs' if len(owners) == 1 else 'differ'}"


def _finding(place: Beside | Between) -> dict[str, Any]:
    return {
        "place": named(place.place),
        "position": place.position,
        "wrong": list(place.wrong),
        "differing": _count(place),
        "owners": sorted({one.owner for one in place.differences}),
        "differences": difference_documents(place.differences),
    }


def _count(place: Beside | Between) -> int:
    """How many documents and members differ, as far as was looked."""
    return place.differing if isinstance(place, Beside) else len(place.differences)


def _left_out(places: Sequence[Beside | Between]) -> dict[str, Any]:
    return {"frozen": {named(each.place): list(each.frozen) for each in places if each.frozen}}
