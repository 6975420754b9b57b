"""What people see of a plan: what it needs, what it locks, go or no-go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote
from typing import Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from cli import output
from cli.maintenance import figures
from cli.maintenance.holders import said
from cli.maintenance.plan import Plan
from cli.maintenance.size import size, span


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan for programs."""
    document: dict[str, Any] = msgspec.to_builtins(plan)
    return {"go": plan.go, **document}


def print_plan(plan: Plan) -> None:
    """Print a plan: indexes, room, WAL, locks, abort, the other way, and the word at last."""
    to = output.console()
    how = "REINDEX TABLE CONCURRENTLY" if plan.concurrently else "REINDEX TABLE"
    to.print(Text.assemble((f"{how} {plan.table}", "bold")))
    _lines(to, [f"{plan.server}, Postgres {plan.version}"], style="dim")
    _lines(to, [f"about {plan.rows:,} rows in {size(plan.table_bytes)}, {_count(plan)}"])
    to.print()
    _indexes(plan)
    _section(to, "Room", _room(plan))
    _section(to, "WAL", _wal(plan))
    _section(to, "Locks", _locks(plan))
    _section(to, "If it is ended or fails", _abort(plan))
    _section(to, "The other way", _other(plan))
    if plan.unknown:
        _section(to, "What this plan can't know", plan.unknown)
    to.print()
    _word(to, plan)


def _count(plan: Plan) -> str:
    old = sum(one.bytes for one in plan.indexes)
    return f"{len(plan.indexes)} indexes of {size(old)}"


def _indexes(plan: Plan) -> None:
    output.print_table(
        ("index", "now", "then", "its sort", "known by"),
        [
            (
                one.name,
                size(one.bytes),
                size(one.new_bytes),
                size(one.sort_bytes) if one.sort_bytes else "in memory",
                one.known_by,
            )
            for one in plan.indexes
        ],
        whole=("now", "then", "its sort"),
    )


def _room(plan: Plan) -> Iterator[str]:
    yield (
        f"{size(plan.expected_bytes)} more at the peak: old indexes stay until the new ones are "
        "committed; sorts and WAL come on top"
    )
    yield (
        f"{size(plan.gate_bytes)} must be free before it begins: a quarter more, and "
        f"{figures.GATE_SEGMENTS} WAL segments"
    )
    for one in plan.places:
        of = "" if one.total_bytes is None else f" of {size(one.total_bytes)}"
        yield f"{one.path}: {size(one.free_bytes)} free{of}; {', '.join(one.parts) or 'nothing'}"
        if len(plan.places) > 1:
            yield f"  {size(one.expected_bytes)} more; {size(one.gate_bytes)} must be free"
        yield (
            f"  {_signed(one.free_bytes - one.expected_bytes)} at the peak, "
            f"{_signed(one.after_bytes)} afterwards"
            + (f"; {size(one.reserve_bytes)} are kept in reserve" if one.reserve_bytes else "")
        )
    if not plan.places:
        yield "what is free can't be read"


def _signed(count: int) -> str:
    return f"{size(count)} left" if count >= 0 else f"{size(-count)} too little"


def _wal(plan: Plan) -> Iterator[str]:
    yield (
        f"{size(plan.wal_bytes)} are written, pg_wal grows by {size(plan.wal_growth_bytes)} "
        f"(max_wal_size {size(plan.wal.max_bytes)})"
    )
    for slot in plan.wal.slots:
        reads = "is read from" if slot.active else "nobody reads from it"
        yield f"replication slot {slot.name}: {reads}, retains {size(slot.retained_bytes)}"
    if not plan.wal.slots:
        yield "no replication slot retains any"
    if plan.wal_stays:
        yield "none of it goes while that is so: see below"


def _locks(plan: Plan) -> Iterator[str]:
    long = "for how long isn't known" if plan.seconds is None else _range(plan.seconds)
    if plan.concurrently:
        yield "SHARE UPDATE EXCLUSIVE on the table: reads and writes go on, VACUUM and DDL wait"
        yield f"by sorting a sample: {long}, and until each transaction that is open has ended"
    else:
        yield "SHARE on the table: every write waits, from the beginning to the commit"
        yield (
            "ACCESS EXCLUSIVE on each index, one after the other, kept to the commit: a plain "
            "SELECT waits too, since planning opens every index"
        )
        yield f"by sorting a sample: {long}; the disk's own pace isn't in it"
        yield (
            "it deadlocks with transactions that read the table and then write to it: either is "
            "ended with an ERROR. Neither repeat it in a loop nor raise deadlock_timeout"
        )
    for one in plan.holders:
        yield f"now: {said(one)}"


def _range(seconds: tuple[float, float]) -> str:
    least, most = seconds
    return f"{span(least)} to {span(most)}"


def _abort(plan: Plan) -> Iterator[str]:
    if plan.concurrently:
        yield (
            "the new indexes stay behind, invalid (…_ccnew): they take room, and every write keeps "
            "them up, until they are dropped (`ledger maintenance health` names them)"
        )
    else:
        yield "an ERROR or a cancel gives all room back at once; the old indexes are as they were"
    yield (
        "a PANIC (no room for WAL) ends every session, leaves up to "
        f"{size(plan.leaked_bytes)} in files that nothing knows, and pg_wal as large as it got"
    )


def _other(plan: Plan) -> Iterator[str]:
    if plan.concurrently:
        yield "without CONCURRENTLY: one pass in place of two, and every read and write waits"
        return
    yield (
        "CONCURRENTLY takes as much room, and blocks neither reads nor writes. Its price: the "
        "table is read twice, it waits for open transactions, its failure leaves invalid indexes"
    )
    yield f"  ledger maintenance plan reindex {quote(plan.table)} --concurrently"


def _word(to: Console, plan: Plan) -> None:
    if not plan.go:
        to.print(Text("NO-GO", style="bold red"))
        _lines(to, plan.reasons)
        return
    to.print(Text("GO", style="bold green"))
    # One that gives up leaves invalid indexes, the other only its place in the queue.
    how = (
        f"SET lock_timeout = 0; REINDEX TABLE CONCURRENTLY {plan.table};"
        if plan.concurrently
        else f"SET lock_timeout = '2s'; REINDEX TABLE {plan.table};"
    )
    _lines(
        to,
        ["in one terminal:  ledger maintenance watch --wait 10m", f"in another:       {how}"],
    )


def _section(to: Console, name: str, lines: Iterable[str]) -> None:
    to.print()
    to.print(Text(name, style="bold"))
    _lines(to, lines)


def _lines(to: Console, lines: Iterable[str], style: str = "") -> None:
    for line in lines:
        if not to.is_terminal:
            print(f"  {output.plain(line).plain}")
            continue
        text = output.plain(line)
        indent = 2 + len(line) - len(line.lstrip())
        to.print(
            Padding(Text(text.plain.lstrip(), style=style), (0, 0, 0, indent)), overflow="fold"
        )
