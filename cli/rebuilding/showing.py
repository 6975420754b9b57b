"""What people see of a rebuild: its plan, how far it is, what it came to, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.console import Console

from cli import output
from projector.read_model.keys import CATALOG
from projector.rebuild.built import Built
from projector.rebuild.differences import Difference
from projector.rebuild.intent import Intent
from projector.rebuild.progress import Progress as Moment
from projector.rebuild.proof import Changes, NotProvedError, Proof, listed

SHOWN_MAX: Final = 5
OWNERS_MAX: Final = 100
"""Licenses of one place that are named before somebody agrees."""
PIECE_BEFORE: Final = 40
PIECE_AFTER: Final = 120


def print_built(built: Built, *, serves: bool, more: Mapping[str, str]) -> None:
    """Print what a rebuild came to, and `more`."""
    output.print_facts(
        {
            "generation": f"{built.generation} "
            + ("serves" if serves else f"is proved; {built.previous} still serves"),
            "events": f"{built.events:,}",
            **_read_back(built),
            **_proved(built.proof),
            "time": ", ".join(f"{name} {each:.1f} s" for name, each in built.seconds.items()),
            **more,
        }
    )


def _read_back(built: Built) -> dict[str, str]:
    if not built.keys:
        return {}
    return {
        "keys read back": f"{built.keys:,}; {built.rendered:,} licenses rendered anew, as a sample"
    }


def _proved(proof: Proof) -> dict[str, str]:
    """What was compared with what serves, and how."""
    changes = proof.changes
    places = proof.compared + proof.one_by_one + (0 if changes is None else len(changes.owners))
    facts = {}
    if changes is not None:
        facts["equal to the log"] = "all that is stored, beside a fresh fold"
    facts["equal to what served"] = (
        f"by digests the state in {proof.compared} of {places} places, and the answers, too, in "
        f"{proof.documents}"
    )
    if proof.by_cut:
        facts["busy"] = f"{proof.by_cut} of these were compared at the last common cut"
    if proof.one_by_one:
        facts["without digests"] = (
            f"in {proof.one_by_one} places all documents are equal, one by one"
        )
    for place, licenses in proof.frozen.items():
        facts[f"left out in {_place(place)}"] = f"frozen in one only: {listed(licenses)}"
    if changes is not None and changes.count:
        facts["changed"] = f"{changes.count:,} documents and members of {_whose(changes)}"
    return facts


def print_changes(changes: Changes) -> None:
    """Print what will be another once it serves, and both forms of some, on stderr."""
    console = output.error_console()
    console.print(
        f"{changes.count:,} documents and members will be others than in what serves, of:",
        markup=False,
    )
    for place, owners in changes.owners.items():
        console.print(
            f"  {_place(place)}: {listed(owners, OWNERS_MAX)}", markup=False, overflow="fold"
        )
    print_differences(console, changes.differences, changes.count, ("will be", "serves now"))


def _whose(changes: Changes) -> str:
    return listed(sorted({one for each in changes.owners.values() for one in each}))


def built_document(built: Built) -> dict[str, Any]:
    """Return the same for programs."""
    document: dict[str, Any] = msgspec.to_builtins(built)
    return document


def print_intent(
    intent: Intent | None,
    now: Mapping[str, str],
    serving: Mapping[int, str],
    more: Mapping[str, str],
) -> None:
    """Print what is under way on a replica, how far it is `now`, and `more`."""
    if intent is None:
        shown = ", ".join(sorted(set(serving.values()))) or "none"
        output.print_facts({"rebuild": "none", "generation that serves": shown, **more})
        return
    serves = sorted(set(serving.values()))
    facts = {
        "rebuild": f"generation {intent.generation}, {_PHASES[intent.phase]}",
        "serves": f"generation {' and '.join(serves)}",
        "begun": _moment(intent.started_ms),
        "by": f"release {intent.release}",
    }
    if intent.until_ms:
        facts["window"] = f"until {_moment(intent.until_ms)}: then what doesn't serve is deleted"
    output.print_facts({**facts, **now, **more})


def intent_document(
    intent: Intent | None, moment: Moment | None, serving: Mapping[int, str]
) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "rebuild": None if intent is None else msgspec.to_builtins(intent),
        "progress": None if moment is None else msgspec.to_builtins(moment),
        "serving": sorted(set(serving.values())),
    }


def print_unproved(error: NotProvedError) -> None:
    """Print what is wrong with a generation, and both forms of some documents, on stderr."""
    console = output.error_console()
    for place, wrong in error.wrong.items():
        for one in wrong:
            console.print(f"{_place(place)}: {one}", markup=False)
    forms = ("built", "the log" if error.against == "the log" else "serves now")
    print_differences(console, error.differences, error.count, forms)


def unproved_document(error: NotProvedError) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "proved": False,
        "reason": str(error),
        "against": error.against,
        "wrong": {_place(place): list(wrong) for place, wrong in error.wrong.items()},
        "differing": error.count,
        "differences": difference_documents(error.differences),
    }


def print_differences(
    console: Console,
    differences: Sequence[Difference],
    count: int,
    forms: tuple[str, str] = ("stored", "expected"),
) -> None:
    """Print both forms of some documents; `count`: how many differ in all."""
    for each in differences[:SHOWN_MAX]:
        console.print(f"{_place(each.place)}, {each.name}, of {each.owner}:", markup=False)
        for name, form in zip(forms, _forms(each.there, each.expected), strict=True):
            console.print(f"  {name}: {form}", markup=False, overflow="fold")
    left = count - min(len(differences), SHOWN_MAX)
    if left > 0:
        console.print(f"and {left} more", markup=False)


def difference_documents(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [
        {
            "place": _place(each.place),
            "name": each.name,
            "owner": each.owner,
            "stored": _text(each.there),
            "expected": _text(each.expected),
        }
        for each in differences
    ]


_PHASES: Final = {
    "building": "being built",
    "proved": "proved: `ledger rebuild flip` makes it serve",
    "flipping": "being flipped: `ledger rebuild flip` goes on",
    "undoing": "being undone: `ledger rebuild undo` goes on",
    "window": "built; either may serve",
    "collecting": "done; what doesn't serve is being deleted, by a projector if nobody else",
}


def _place(place: int) -> str:
    return "catalog" if place == CATALOG else f"partition {place}"


def _text(form: bytes | None) -> str | None:
    return None if form is None else form.decode(errors="backslashreplace")


def _forms(there: bytes | None, expected: bytes | None) -> tuple[str, str]:
    """Return both states of a document: its first line; where that is the same, what differs."""
    if there is None or expected is None or there.split(b"\n")[0] != expected.split(b"\n")[0]:
        return _state(there), _state(expected)
    pairs = enumerate(zip(there, expected, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(there), len(expected)))
    return _piece(there, at), _piece(expected, at)


def _state(form: bytes | None) -> str:
    if form is None:
        return "nothing"
    state, _, answer = form.partition(b"\n")
    told = _text(state) or ""
    return f"{told} (and an answer of {len(answer)} bytes)" if answer.strip() else told


def _piece(form: bytes, at: int) -> str:
    """Return what stands around a byte of an answer."""
    begin, end = max(0, at - PIECE_BEFORE), at + PIECE_AFTER
    told = (_text(form[begin:end]) or "").replace("\n", "↵")
    after = "…" if len(form) > end else ""
    return f"the same state, and at byte {at} of it and its answer: …{told}{after}"


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
