"""Reading a file of activity before anything is sent: what is in it, is it the same as before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from ledger.domain.identifiers import Pepper
from ledger.sources.activity import (
    Activity,
    Broken,
    FeatureTally,
    Move,
    Pairing,
    Parser,
    Tally,
)
from ledger.sources.lines import PrefixDigest, bounded_lines, source_of

BROKEN_KEPT: Final = 1_000
HEAD_LINES_MAX: Final = 100_000
UNFINISHED: Final = "the last line has no end yet; it is left for the next run"


class ImportRefusedError(Exception):
    """The file can't be imported as asked; its text names the thing and the way out."""


class Form(Struct, frozen=True, kw_only=True):
    """How a file is read: the form's name, and a new parser for each reading."""

    name: str
    parser: Callable[[], Parser]


class Scan(Struct, kw_only=True):
    """What a file holds.

    `features`: counts by feature, straight from the lines; `last_lines`: the last line of each
    that asks something of the ledger.
    """

    path: Path
    form: Form
    source: str = ""
    lines: int = 0
    moves: int = 0
    features: dict[str, FeatureTally]
    broken: list[Broken]
    last_lines: dict[str, int]
    broken_lines: int = 0
    unsupported: int = 0
    unmatched: int = 0


class Line(Struct, frozen=True, kw_only=True):
    """One line that asks something of the ledger, and the digest of all up to it."""

    move: Move
    digest: str


def scan(path: Path, form: Form, pepper: Pepper) -> Scan:
    """Read the whole file once. Raises `ImportRefusedError` if nothing in it happened."""
    found = Scan(path=path, form=form, features={}, broken=[], last_lines={})
    parser, pairing, tally = form.parser(), Pairing(), Tally()
    head: list[bytes] = []
    for number, raw in _lines(path):
        found.lines = number
        if not found.source and len(head) < HEAD_LINES_MAX:
            head.append(raw)
        if not raw.endswith(b"\n"):
            _broken(found, Broken(line=number, reason=UNFINISHED))
            break
        parsed = parser(number, raw)
        if isinstance(parsed, Broken):
            _broken(found, parsed)
        elif parsed is not None:
            found.source = found.source or source_of(form.name, head, pepper)
            _count(found, parsed, pairing, tally)
    if not found.source:
        msg = f"{path}: no line of it is an event of the form {form.name}"
        raise ImportRefusedError(msg)
    found.features, found.unmatched = tally.features, pairing.unmatched
    return found


def compare(found: Scan, pepper: Pepper, applied: Mapping[int, str | None]) -> None:
    """Compare the file with what was imported of it before, at the lines of `applied`.

    Raises `ImportRefusedError` naming the first line where the digest of all lines so far is
    another. Lines beyond the file's end can't be compared: it is an older, shorter copy.
    """
    digest = PrefixDigest(pepper)
    last = max(applied, default=0)
    for number, raw in _lines(found.path):
        if number > last:
            return
        digest.add(raw)
        if number in applied and applied[number] not in {None, digest.value}:
            msg = (
                f"{found.path}: lines up to {number} are not the ones that were imported before "
                f"from this log ({found.source}): its earlier lines were changed. "
                "Import the log as it was, with new lines only at its end"
            )
            raise ImportRefusedError(msg)


def lines_to_send(found: Scan, pepper: Pepper) -> Iterator[Line]:
    """Read the file again and yield, in order, all that asks something of the ledger."""
    parser, pairing, digest = found.form.parser(), Pairing(), PrefixDigest(pepper)
    for number, raw in _lines(found.path):
        if number > found.lines or not raw.endswith(b"\n"):
            return
        digest.add(raw)
        parsed = parser(number, raw)
        move = pairing.move(parsed) if isinstance(parsed, Activity) else None
        if move is not None:
            yield Line(move=move, digest=digest.value)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as lines:
        yield from enumerate(bounded_lines(lines.readline), start=1)


def _broken(found: Scan, broken: Broken) -> None:
    found.broken_lines += 1
    if len(found.broken) < BROKEN_KEPT:
        found.broken.append(broken)


def _count(found: Scan, activity: Activity, pairing: Pairing, tally: Tally) -> None:
    if activity.action == "unsupported":
        found.unsupported += 1
    move = pairing.move(activity)
    if move is not None:
        found.moves += 1
        found.last_lines[activity.feature] = activity.line
        tally.count(move)
