"""Emergency orders as they are printed for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cli import output
from cli.neutralizing.incidents import AtWorker, Incident
from cli.neutralizing.workers import Told
from ledger.domain.clocks import rfc3339
from ledger.emergency.orders import End, Start


def print_delivered(order: str, rows: Sequence[Mapping[str, Any]], *, runs: bool) -> None:
    """Print what came of an order at each worker."""
    output.console().print(f"order {order}", markup=False)
    word = "runs" if runs else "over"
    shown = [
        (row["url"], row["worker"] or "", "no" if row["why"] else word, row["why"] or "")
        for row in rows
    ]
    if shown:
        output.print_table(("address", "worker", "order", "why not"), shown)
    else:
        output.remark("No worker was asked whether it takes it: `ledger neutralize status --to …`.")
    if runs:
        output.remark(f"End it: ledger neutralize end {order} --key FILE")


def print_standings(told: Sequence[Told], order: str | None) -> None:
    """Print what each worker runs: every order, or one."""
    rows: list[tuple[str, ...]] = []
    for one in told:
        shown = [] if one.standing is None else one.standing["orders"]
        mine = [each for each in shown if order is None or each["id"] == order]
        rows += [(one.url, each["id"], *_state(each)) for each in mine]
        if not mine:
            why = one.why or ("" if order is None else one.refused(order)) or "no order"
            rows.append((one.url, "", why, "", ""))
    columns = ("worker", "order", "state", "known", "unknown")
    output.print_table(columns, rows, whole=("order",))


def _state(shown: Mapping[str, Any]) -> tuple[str, str, str]:
    over = str(shown["over"]).lower()
    state = f"runs, {shown['leftS']} s left" if shown["running"] else f"over ({over})"
    return state, str(shown["known"]), str(shown["unknown"])


def print_incident(incident: Incident) -> None:
    """Print what the ledger knows of an order."""
    facts = {"order": incident.id}
    start = None if incident.signed is None else incident.signed.order
    if isinstance(start, Start):
        facts |= {
            "account": start.account,
            "product": start.product or "all",
            "unknown keys": "yes" if start.unknown_keys else "no",
            "ordered": f"{rfc3339(start.issued_ms)}, for {start.duration_s} s",
            "reason": start.reason,
            "signed by": incident.key,
        }
    end = None if incident.end is None else incident.end.order
    if isinstance(end, End):
        facts["ended"] = f"{rfc3339(end.issued_ms)}: {end.reason}"
    output.print_facts(facts)
    columns = ("worker", "taken", "over", "why", "known", "unknown")
    output.print_table(columns, [_told(one, columns) for one in incident.workers.values()])


def _told(one: AtWorker, columns: Sequence[str]) -> tuple[str, ...]:
    shown = one.shown()
    return tuple("" if shown[name] is None else str(shown[name]) for name in columns)
