"""What a rehearsal came to, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import indent
from typing import Any, Final

from cli import output
from ledger.domain.clocks import rfc3339
from projector.rehearsal.changes import Change, Rehearsed
from projector.release import release

_CODE: Final = "code"


def print_document(found: Rehearsed, *, rules: int | None, replica: str | None) -> None:
    """Print one JSON document of all of it, each change as it is read.

    `rules`: what was supposed, `replica`: what was compared with.
    """
    begun = json.dumps(_numbers(found, rules, replica), indent=2, ensure_ascii=False)
    print(f'{begun.removesuffix("}").rstrip()},\n  "changes": [', end="")
    comma = ""
    for change in found.changes:
        text = json.dumps(_changed(change), indent=2, ensure_ascii=False)
        print(f"{comma}\n{indent(text, '    ')}", end="")
        comma = ","
    print(f"{comma and chr(10) + '  '}]\n}}")


def _numbers(found: Rehearsed, rules: int | None, replica: str | None) -> dict[str, Any]:
    return {
        "release": release(),
        "rules": rules,
        "replica": replica,
        "verdicts": found.verdicts,
        "licenses": found.licenses,
        "machines": found.machines,
        "changed_verdicts": found.changed_verdicts,
        "changed_licenses": found.changed_licenses,
        "apart": found.apart,
        "positions": list(found.positions),
    }


def print_rehearsed(found: Rehearsed, limit: int) -> None:
    """Print the numbers, then what changes, license by license, at most `limit` of them."""
    to = output.console()
    to.print(
        f"Changes {found.changed_verdicts:,} of {found.verdicts:,} verdicts, "
        f"{found.changed_licenses:,} of {found.licenses:,} licenses."
    )
    by_license: dict[tuple[int, str], list[Change]] = {}
    for change in found.changes:
        place = change.partition, change.license
        if place in by_license or len(by_license) < limit:
            by_license.setdefault(place, []).append(change)
    for (partition, license_), changes in by_license.items():
        to.print(f"license {license_}, partition {partition}:", markup=False)
        for line in (line for change in changes for line in _lines(change)):
            to.print(output.plain(f"  {line}"), soft_wrap=True)
    for partition in found.apart:
        to.print(
            f"partition {partition}: its digest differs, and no license's document does: see "
            "`ledger verify --replicas`"
        )
    left = found.changed_licenses - limit
    if left > 0:
        output.remark(f"licenses not shown: {left:,} (--limit N, or --json for all)")


def _lines(change: Change) -> Sequence[str]:
    before, after = _read(change.before), _read(change.after)
    if change.kind == "verdict":
        when = "" if change.time_ms is None else f" at {rfc3339(change.time_ms)}"
        codes = f"{_code(before)} → {_code(after)}"
        beside = "" if None in (before, after) else _fields(before, after, but=_CODE)
        return [f"verdict of command {change.id}{when}: {codes}{beside and f' ({beside})'}"]
    what = "state" if change.kind == "license" else f"machine {change.id}"
    return [
        f"{what}: {'not on both sides' if None in (before, after) else _fields(before, after)}",
        f"  before: {_whole(change.before)}",
        f"  after:  {_whole(change.after)}",
    ]


def _fields(before: Any, after: Any, but: str = "") -> str:  # noqa: ANN401 - a document
    """Name the members that differ, with both values."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "can't be read"
    differ = [
        f"{name} {_value(before, name)} → {_value(after, name)}"
        for name in sorted(before.keys() | after.keys())
        if name != but and _value(before, name) != _value(after, name)
    ]
    return ", ".join(differ)


def _value(members: dict[str, Any], name: str) -> str:
    return json.dumps(members[name], ensure_ascii=False) if name in members else "none"


def _code(verdict: Any) -> str:  # noqa: ANN401 - a document
    return str(verdict.get(_CODE)) if isinstance(verdict, dict) else "none"


def _whole(form: bytes | None) -> str:
    return "none" if form is None else form.decode(errors="backslashreplace")


def _read(form: bytes | None) -> Any:  # noqa: ANN401 - whatever is stored
    try:
        return None if form is None else json.loads(form)
    except ValueError:
        return _whole(form)


def _changed(change: Change) -> dict[str, Any]:
    return {
        "license": change.license,
        "partition": change.partition,
        "kind": change.kind,
        "id": change.id,
        "time": None if change.time_ms is None else rfc3339(change.time_ms),
        "before": _read(change.before),
        "after": _read(change.after),
    }
