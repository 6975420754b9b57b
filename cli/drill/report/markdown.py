"""A drill in words and tables, to be pasted into a ticket."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

from cli.drill.losses import DEFINITION
from cli.drill.outcome import Second
from cli.drill.report.chart import end_of
from cli.drill.report.contents import Contents, PhaseEntry
from cli.drill.report.real_day import beside
from cli.drill.report.tables import Failed, answers, failed_tables, latency_tables
from cli.drill.wording import NOTHING

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|#~&])")
_STRIP: Final = 72
"""How many letters a strip of the drill has at most."""
_LEVELS: Final = "\u00b7\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
"""None, something, ..., all."""


def markdown(contents: Contents) -> str:
    """The report of a drill, as Markdown."""
    parts = [
        *_head(contents),
        *_strips(contents),
        *_phases(contents),
        *_real_day(contents),
        *_measured(contents),
        *_where(contents),
    ]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """Text of others, in which nothing means anything."""
    return _SPECIAL.sub(r"\\\1", text)


def _head(contents: Contents) -> list[str]:
    lost = [
        [escaped(side.title), f"**{contents.lost(side)}**", escaped(side.about)]
        for side in contents.sides
    ]
    return [
        "# The fifth of November, again",
        f"**{contents.headline}**",
        f"{escaped(contents.proof)} {escaped(contents.holding)}",
        *_list(escaped(reason) for reason in contents.reasons),
        _table(["", "launch-minutes lost", ""], lost),
        f"_Launch-minutes lost:_ {DEFINITION}",
    ]


def _strips(contents: Contents) -> list[str]:
    step = max(1, math.ceil(end_of(contents.outcome) / _STRIP))
    columns = math.ceil(end_of(contents.outcome) / step)
    letters = "".join(_letter(contents, column * step) for column in range(columns))
    lines = [f"{'phase':<8}{letters}"]
    for side in contents.sides:
        lines += [
            f"{side.name:<8}{_strip(side.seconds, step, columns, launches=True)}  launches",
            f"{'':<8}{_strip(side.seconds, step, columns, launches=False)}  activations",
        ]
    every = "a second" if step == 1 else f"{step} seconds"
    return [
        "## Second by second",
        (
            f"Each letter is {every}: `\u2588` all that were tried started or succeeded, "
            "`\u2581` few, `\u00b7` none; a gap where nothing was tried."
        ),
        "\n".join(["```text", *lines, "```"]),
    ]


def _letter(contents: Contents, at_s: float) -> str:
    for entry, phase in zip(contents.phases, contents.outcome.phases, strict=True):
        if phase.from_s <= at_s < phase.to_s:
            return entry.letter
    return " "


def _strip(seconds: Sequence[Second], step: int, columns: int, *, launches: bool) -> str:
    tried, good = [0] * columns, [0] * columns
    for second in seconds:
        column = second.at_s // step
        tried[column] += second.launches if launches else second.activations
        good[column] += second.started if launches else second.activated
    return "".join(_level(one, of) for one, of in zip(good, tried, strict=True))


def _level(good: int, tried: int) -> str:
    if not tried:
        return " "
    if good in {0, tried}:
        return _LEVELS[0] if not good else _LEVELS[-1]
    between = len(_LEVELS) - 2
    return _LEVELS[1 + min(between - 1, good * between // tried)]


def _phases(contents: Contents) -> list[str]:
    rows = [
        [
            _named(phase),
            "skipped" if phase.skipped is not None else phase.span,
            escaped(phase.about),
        ]
        for phase in contents.phases
    ]
    moments = [[str(at), when, escaped(text)] for at, when, text in contents.moments()]
    told = [_table(["", "at", "what happened"], moments)] if moments else []
    return ["## Phases", _table(["phase", "from, to", "what is broken"], rows), *told]


def _real_day(contents: Contents) -> list[str]:
    rows = []
    for row in beside(contents):
        here = [escaped(row.here)] if row.here else []
        for one in row.measured:
            both = f"naive {one.naive}; ledger {one.ledger}"
            if one.phase is None:
                here.append(both)
            else:
                skipped = one.phase.skipped is not None
                here.append(f"{_named(one.phase)}: {'skipped' if skipped else both}")
        rows.append([row.at, row.text, "<br>".join(here)])
    return ["## The real day, and here", _table(["5 November 2019", "the real day", "here"], rows)]


def _measured(contents: Contents) -> list[str]:
    parts = ["## What was measured"]
    for table in failed_tables(contents):
        failed = [
            [
                "**all**" if row.phase is None else _named(row.phase),
                _failed(row.naive, row.phase),
                _failed(row.ledger, row.phase),
            ]
            for row in table.rows
        ]
        parts += [
            f"### {table.title}",
            table.about,
            _table(["phase", "naive", "ledger"], failed),
        ]
    for latencies in latency_tables(contents):
        taken = [[_named(row.phase), *row.naive, *row.ledger] for row in latencies.rows]
        heads = ["phase", "naive p50", "naive p99", "ledger p50", "ledger p99"]
        parts += [f"### {latencies.title}", _table(heads, taken)]
    answered = [
        [_named(row.phase), _answers(row.naive), _answers(row.ledger)] for row in answers(contents)
    ]
    return [*parts, "### Answers by kind", _table(["phase", "naive", "ledger"], answered)]


def _where(contents: Contents) -> list[str]:
    skipped = [
        f"{escaped(phase.title)}: {escaped(phase.skipped)}"
        for phase in contents.phases
        if phase.skipped is not None
    ]
    facts = [[name, escaped(value)] for name, value in contents.facts()]
    return [
        "## Where and how it ran",
        _table(["", ""], facts),
        "## What was skipped",
        *(_list(skipped) or ["Nothing."]),
        "## What was not reproduced",
        *(_list(map(escaped, contents.not_reproduced())) or ["Nothing is known of."]),
    ]


def _named(phase: PhaseEntry) -> str:
    return f"{phase.letter} {escaped(phase.title)}"


def _failed(failed: Failed, phase: PhaseEntry | None) -> str:
    if phase is not None and phase.skipped is not None:
        return "skipped"
    if failed.text == NOTHING:
        return NOTHING
    text = f"{failed.text} ({escaped(failed.share)})"
    return f"**{text}**" if failed.any else text


def _answers(answers: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{escaped(kind)}: {times}" for kind, times in answers) or NOTHING


def _list(lines: Iterable[str]) -> list[str]:
    """One part of bullets, or none."""
    bullets = [f"- {line}" for line in lines]
    return ["\n".join(bullets)] if bullets else []


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
