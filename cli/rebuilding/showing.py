"""What people see of a rebuild: its plan, how far it is, what it came to, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from rich.console import Console

from cli import output
from projector.read_model.keys import CATALOG
from projector.rebuild.differences import Difference
from projector.rebuild.intent import Intent
from projector.rebuild.progress import Progress as Moment
from projector.rebuild.proving import NotProvedError
from projector.rebuild.run import Built

SHOWN_MAX: Final = 5


def print_built(built: Built, *, serves: bool, more: Mapping[str, str]) -> None:
    """Print what a rebuild came to, and `more`."""
    proof = built.proof
    facts = {
        "generation": f"{built.generation} "
        + ("serves" if serves else f"is proved; {built.previous} still serves"),
        "events": f"{built.events:,}",
        **({"keys read back": f"{built.keys:,}"} if built.keys else {}),
        "equal to what served": f"the state in {proof.compared} of {proof.compared} places, "
        f"the documents in {proof.documents}",
        "time": ", ".join(f"{name} {each:.1f} s" for name, each in built.seconds.items()),
    }
    for place, licenses in proof.frozen.items():
        facts[f"left out in {_place(place)}"] = f"frozen licenses: {', '.join(licenses)}"
    output.print_facts({**facts, **more})


def built_document(built: Built) -> dict[str, Any]:
    """Return the same for programs."""
    document: dict[str, Any] = msgspec.to_builtins(built)
    return document


def print_intent(intent: Intent | None, now: Mapping[str, str], serving: Mapping[int, str]) -> None:
    """Print what is under way on a replica, and how far it is `now`."""
    if intent is None:
        shown = ", ".join(sorted(set(serving.values()))) or "none"
        output.print_facts({"rebuild": "none", "generation that serves": shown})
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
    output.print_facts({**facts, **now})


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
    print_differences(console, error.differences, len(error.differences))


def unproved_document(error: NotProvedError) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "proved": False,
        "reason": str(error),
        "wrong": {_place(place): list(wrong) for place, wrong in error.wrong.items()},
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
        for name, form in zip(forms, (each.there, each.expected), strict=True):
            console.print(f"  {name}: {_shown(form)}", markup=False, overflow="fold")
    left = count - SHOWN_MAX
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
    "collecting": "done; what doesn't serve is being deleted",
}


def _place(place: int) -> str:
    return "catalog" if place == CATALOG else f"partition {place}"


def _text(form: bytes | None) -> str | None:
    return None if form is None else form.decode(errors="backslashreplace")


def _shown(form: bytes | None) -> str:
    """Return the state of a document: its first line."""
    if form is None:
        return "nothing"
    state, _, answer = form.partition(b"\n")
    told = _text(state) or ""
    return f"{told} (and an answer of {len(answer)} bytes)" if answer.strip() else told


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
