"""What `ledger quarantine` prints: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cli import output
from cli.quarantining.explaining import Explained
from cli.quarantining.looking import Frozen, Held
from cli.quarantining.retrying import Retried
from ledger.domain.clocks import rfc3339


def listed(held: Sequence[Held]) -> dict[str, Any]:
    """JSON of what all replicas have set aside."""
    return {
        "equal": _equal(held),
        "replicas": [
            {
                "replica": one.letter,
                "trouble": one.trouble,
                "frozen": [_frozen(it) for it in one.frozen],
                "unroutable": [
                    {
                        "partition": it.partition,
                        "offset": it.offset,
                        "since": rfc3339(it.since_ms),
                    }
                    for it in one.strays
                ],
                "unroutableRecords": one.stray_count,
            }
            for one in held
        ],
    }


def print_listed(held: Sequence[Held]) -> None:
    """Print a line for each frozen license and each record of no license."""
    answering = [one for one in held if one.trouble is None]
    rows = [*_license_rows(answering), *_stray_rows(answering)]
    if rows:
        output.print_table(
            ("record", "license", "waiting", "since", "replicas"),
            rows,
            whole=("record", "license", "since"),
        )
    elif answering:
        output.console().print("Nothing is set aside.")
    for one in held:
        if one.trouble is not None:
            output.remark(f"replica {one.letter} doesn't answer: {one.trouble}")
    if not _equal(held):
        output.remark(
            "The replicas differ: another release folds there, or one hasn't come so far."
        )
    if any(one.frozen for one in answering):
        output.remark("Why, and what to do: ledger quarantine explain PARTITION:OFFSET")


def explained(found: Explained) -> dict[str, Any]:
    """JSON of why a record is set aside."""
    return {
        "partition": found.partition,
        "offset": found.offset,
        "appended": rfc3339(found.timestamp_ms),
        "license": found.license,
        "bytes": found.size,
        "type": found.type,
        "rules": found.rules,
        "why": found.why,
        "foldable": found.foldable,
        "behind": found.behind,
        "nextPoison": found.next_poison,
    }


def print_explained(found: Explained) -> None:
    """Print it, and the ways out."""
    kind = "" if found.type is None else f"; {found.type}, rules {found.rules}"
    facts = {
        "record": f"{found.partition}:{found.offset}, {found.size} bytes{kind}",
        "appended": rfc3339(found.timestamp_ms),
        "license": found.license or "none of this partition",
        "why": found.why,
    }
    if found.license is not None:
        facts["behind"] = _behind(found)
        facts["checks"] = "go on from the state before it; writes are refused"
    facts["next"] = _next(found)
    output.print_facts(facts)


def retried(done: Sequence[Retried]) -> dict[str, Any]:
    """JSON of what came of a retry."""
    return {
        "replicas": [
            {
                "replica": one.letter,
                "release": one.release,
                "thawed": list(one.thawed),
                "frozen": dict(one.frozen),
                "unansweredPartitions": list(one.unanswered),
                "trouble": one.trouble,
            }
            for one in done
        ]
    }


def print_retried(done: Sequence[Retried], asked: str | None) -> None:
    """Print what came of a retry of a license, or of all, replica by replica."""
    console = output.console()
    for one in done:
        if one.trouble is not None:
            console.print(output.plain(f"replica {one.letter} doesn't answer: {one.trouble}"))
            continue
        if not one.thawed and not one.frozen and not one.unanswered:
            what = "nothing is" if asked is None else f"license {asked} isn't"
            console.print(f"replica {one.letter}: {what} frozen")
        for license_ in one.thawed:
            console.print(f"replica {one.letter}: license {license_} is frozen no more")
        for license_, offset in sorted(one.frozen.items()):
            console.print(
                f"replica {one.letter}: license {license_} stays frozen at offset {offset}: "
                f"release {one.release} can't fold the record there"
            )
        if one.unanswered:
            places = ", ".join(map(str, one.unanswered))
            console.print(
                f"replica {one.letter}: no projector answers for partition {places}: does it run? "
                "(`ledger doctor`)"
            )
    if any(one.frozen for one in done):
        output.remark("Why, and what to do: ledger quarantine explain LICENSE")


def consent(partition: int, offset: int) -> str:
    """What a discard does, to be agreed to."""
    return (
        f"this leaves the record {partition}:{offset} out of every fold, for good: what it asked "
        "for never happened"
    )


def discarded(partition: int, offset: int, held: Sequence[Held], *, again: bool) -> dict[str, Any]:
    """JSON of a discard that every replica obeys."""
    return {
        "partition": partition,
        "offset": offset,
        "wasDiscarded": again,
        "replicas": [
            {
                "replica": one.letter,
                "stillFrozen": [_frozen(it) for it in one.frozen if it.partition == partition],
            }
            for one in held
        ],
    }


def print_discarded(partition: int, offset: int, held: Sequence[Held], *, again: bool) -> None:
    """Print that every replica obeys a discard, and what is frozen all the same."""
    said = "was discarded before" if again else "is discarded"
    output.console().print(f"{partition}:{offset} {said}: no replica has it set aside any more")
    left = {it.license: it for one in held for it in one.frozen if it.partition == partition}
    for it in left.values():
        output.remark(f"license {it.license} is frozen at offset {it.offset}")


def _equal(held: Sequence[Held]) -> bool:
    """Whether all that answer have set the same aside."""
    found = [one for one in held if one.trouble is None]
    seen = {
        (tuple((it.license, it.offset, it.waiting) for it in one.frozen), one.stray_count)
        for one in found
    }
    return len(seen) <= 1


def _frozen(one: Frozen) -> dict[str, Any]:
    return {
        "license": one.license,
        "partition": one.partition,
        "offset": one.offset,
        "waiting": one.waiting,
        "since": None if one.since_ms is None else rfc3339(one.since_ms),
    }


def _license_rows(held: Sequence[Held]) -> list[tuple[str, ...]]:
    """A row a license and record; replicas that agree share it."""
    merged: dict[tuple[int, int, str], dict[str, Frozen]] = {}
    for one in held:
        for it in one.frozen:
            merged.setdefault((it.partition, it.offset, it.license), {})[one.letter] = it
    return [
        (
            f"{partition}:{offset}",
            license_,
            _waiting(by_letter),
            _since(next(iter(by_letter.values())).since_ms),
            _letters(by_letter, held),
        )
        for (partition, offset, license_), by_letter in sorted(merged.items())
    ]


def _stray_rows(held: Sequence[Held]) -> list[tuple[str, ...]]:
    merged: dict[tuple[int, int], dict[str, int]] = {}
    for one in held:
        for it in one.strays:
            merged.setdefault((it.partition, it.offset), {})[one.letter] = it.since_ms
    rows: list[tuple[str, ...]] = [
        (
            f"{partition}:{offset}",
            "none of this partition",
            "",
            rfc3339(next(iter(by_letter.values()))),
            _letters(by_letter, held),
        )
        for (partition, offset), by_letter in sorted(merged.items())
    ]
    more = max((one.stray_count for one in held), default=0) - len(rows)
    return [*rows, (f"{more} more", "none of their partition", "", "", "")] if more > 0 else rows


def _waiting(by_letter: Mapping[str, Frozen]) -> str:
    counts = {it.waiting for it in by_letter.values()}
    if len(counts) == 1:
        return str(counts.pop())
    return ", ".join(f"{letter} {it.waiting}" for letter, it in by_letter.items())


def _letters(by_letter: Mapping[str, object], held: Sequence[Held]) -> str:
    only = " only" if len(by_letter) < len(held) else ""
    return ", ".join(by_letter) + only


def _since(time_ms: int | None) -> str:
    return "" if time_ms is None else rfc3339(time_ms)


def _behind(found: Explained) -> str:
    if not found.behind:
        return "nothing"
    said = f"{found.behind} records of the license wait"
    if found.next_poison is not None:
        return f"{said}; the one at offset {found.next_poison} can't be folded here either"
    return said


def _next(found: Explained) -> str:
    place = f"{found.partition}:{found.offset}"
    if found.license is None:
        return (
            "find who appends it; it changes nothing. To take it off the list: ledger quarantine "
            f"discard {place}"
        )
    if found.foldable:
        return (
            "run the projectors on this release (they retry by themselves), or: ledger quarantine "
            f"retry {found.license}"
        )
    return (
        "who wrote it? With a release that folds it the projectors mend it by themselves. To leave "
        f"it out, for good: ledger quarantine discard {place}"
    )
