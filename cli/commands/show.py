"""`ledger show`: a license's state and history, read from the log itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from cli import connection, output, trouble
from cli.commands.check import key_of
from cli.forget import licenses_named
from cli.history import Entry, History, why
from cli.local.folder import DEFAULT
from cli.opening import Opener, read_data_keys
from cli.options import Data, Json
from cli.running import run
from ledger.domain.clocks import rfc3339
from ledger.domain.identifiers import partition_of, slug_id
from ledger.domain.license import License
from ledger.domain.spans import next_check_in_ms
from ledger.domain.terms import max_uses
from ledger.event_log.codec import UnknownRulesError
from ledger.event_log.discards import read_discards
from ledger.event_log.port import Topic
from ledger.sealing.key_ring import KeyRing
from ledger.settings import Settings

LAST: Final = 50
_WHY_LEAST: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A license's history, and what opens its sealed values."""

    ledger: str
    id: str
    partition: int
    history: History
    opener: Opener
    now_ms: int


def show(
    license_: Annotated[
        str, typer.Argument(metavar="LICENSE", help="Its id or its key; - reads it from stdin.")
    ],
    *,
    last: Annotated[
        int, typer.Option("--last", min=0, help="Show the last N events only; 0: all of them.")
    ] = LAST,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Show a license: its state, and its history read from the log, each verdict and why.

    Reads Kafka alone: it works, and tells the truth, with every replica down.
    Examples: `ledger show LIC-…`, `ledger show 0f8b… --last 0 --json`.
    """
    shown = run(_read(connection.settings(data), key_of(license_), last or None))
    if shown.history.license is None:
        raise trouble.Failed(
            f"the log has no record of the license {shown.id} (partition {shown.partition}, "
            f"read up to offset {shown.history.position}): is it the id or key of this ledger's?"
        )
    if as_json:
        output.print_json(_document(shown))
    else:
        _print(shown)


async def _read(settings: Settings, named: str, last: int | None) -> Shown:
    async with connection.connected(settings) as connected:
        for id_ in licenses_named(settings, connected.ledger, named):
            history = await _history(connected, id_, last)
            if history.license is not None:
                break
        account = slug_id(connected.ledger, "account", settings.catalog.account)
        if history.license is not None and history.license.account:
            account = history.license.account
        partition = partition_of(id_, settings.partitions)
        opener = Opener(
            ring=KeyRing(settings.seal_keys),
            account=account,
            license_=id_,
            data_keys=await read_data_keys(connected.log, partition, id_),
        )
        now = await connected.replicas.now()
        return Shown(
            ledger=connected.ledger,
            id=id_,
            partition=partition,
            history=history,
            opener=opener,
            now_ms=now.time_ms,
        )


async def _history(connected: connection.Connection, id_: str, last: int | None) -> History:
    partition = partition_of(id_, connected.settings.partitions)
    discarded = (await read_discards(connected.log)).of(partition)
    history = History(id_, last=last, discarded=discarded)
    try:
        async for records in connected.log.read(Topic.LICENSE_EVENTS, partition, start=0):
            history.take(records)
    except UnknownRulesError as error:
        where = f"partition {partition}, offset {history.position - 1}"
        raise trouble.Failed(f"{where}: {error}") from None
    return history


def _state(license_: License, now_ms: int) -> str:
    if license_.frozen_at is not None:
        return f"frozen at offset {license_.frozen_at}: the record there can't be folded"
    if license_.status != "live":
        return "never issued" if license_.status == "none" else "revoked"
    if license_.suspended:
        return "suspended"
    return "expired" if license_.expired(now_ms) else "active"


def _document(shown: Shown) -> dict[str, Any]:
    license_ = shown.history.license
    assert license_ is not None  # noqa: S101 - asked before
    terms = license_.terms
    return {
        "ledger": shown.ledger,
        "id": shown.id,
        "partition": shown.partition,
        "readTo": shown.history.position,
        "state": _state(license_, shown.now_ms),
        "name": license_.name,
        "key": shown.opener.word(license_.key),
        "account": license_.account,
        "product": license_.product,
        "policy": license_.policy,
        "issued": rfc3339(license_.issued_ms) if license_.issued_ms else None,
        "expiry": _moment(license_.expiry_ms),
        "machines": license_.machines,
        "uses": license_.uses,
        "maxUses": None if terms is None else max_uses(terms, license_.own),
        "lastValidated": _moment(license_.last_validated_ms),
        "nextCheckIn": _moment(next_check_in_ms(license_)),
        "entitlements": license_.all_entitlements,
        "seats": {
            "used": license_.seats_held,
            "limit": license_.limit,
            "peak": license_.seats_peak,
            "peakPosition": license_.seats_peak_offset,
        },
        "refusals": license_.refusals,
        "events": shown.history.count,
        "history": [_entry(entry, shown.opener) for entry in shown.history.entries],
    }


def _in_use(license_: License) -> dict[str, str]:
    """What not every license has: uses, check-ins, entitlements."""
    facts = {}
    terms = license_.terms
    most = None if terms is None else max_uses(terms, license_.own)
    if license_.uses or most is not None:
        facts["uses"] = f"{license_.uses} of {'unlimited' if most is None else most}"
    due_ms = next_check_in_ms(license_)
    if due_ms is not None:
        facts["next check-in"] = rfc3339(due_ms)
    if license_.all_entitlements:
        facts["entitlements"] = ", ".join(sorted(license_.all_entitlements.values()))
    return facts


def _moment(time_ms: int | None) -> str | None:
    return None if time_ms is None else rfc3339(time_ms)


def _entry(entry: Entry, opener: Opener) -> dict[str, Any]:
    event, verdict = entry.event, entry.verdict
    found: dict[str, Any] = {"offset": entry.offset, "appended": rfc3339(entry.timestamp_ms)}
    if event is not None:
        found |= {"type": event.type, "time": rfc3339(event.time_ms), "actor": event.actor}
        if event.occurred_at_ms is not None:
            found |= {"occurredAt": rfc3339(event.occurred_at_ms), "source": event.source}
            found |= {"sequence": event.sequence}
        found |= opener.values(event, entry.machine)
    if entry.apart_ms is not None:
        found["senderAheadMs"] = entry.apart_ms
    if verdict is not None:
        found |= {"verdict": verdict.code, "seatsHeld": verdict.seats_held, "limit": verdict.limit}
    return found | {"why": why(entry)}


def _print(shown: Shown) -> None:
    license_, console = shown.history.license, output.console()
    assert license_ is not None  # noqa: S101 - asked before
    limit = "unlimited" if license_.limit is None else license_.limit
    refusals = ", ".join(f"{code} {count}" for code, count in sorted(license_.refusals.items()))
    facts = {
        "license": f"{shown.id}  {license_.name or ''}".rstrip(),
        "key": shown.opener.word(license_.key),
        "state": _state(license_, shown.now_ms),
        "seats": f"{license_.seats_held} of {limit} held; peak {license_.seats_peak} "
        f"(offset {license_.seats_peak_offset})",
        "refusals": refusals or "none",
        "issued": rfc3339(license_.issued_ms) if license_.issued_ms else "never",
        "expiry": "never" if license_.expiry_ms is None else rfc3339(license_.expiry_ms),
        **_in_use(license_),
        "log": f"partition {shown.partition}, read up to offset {shown.history.position}; "
        f"{shown.history.count} events of this license",
    }
    output.print_facts(facts)
    console.print()
    left_out = shown.history.count - len(shown.history.entries)
    if left_out:
        console.print(f"{left_out} earlier events; --last 0 shows all", style="dim")
    if any(entry.event and entry.event.occurred_at_ms for entry in shown.history.entries):
        console.print("Of imported events the time is their source's.", style="dim")
    entries = shown.history.entries
    whole = ("offset", "time", "event", "verdict")
    output.print_table(
        (*whole, "about", "why"),
        [_row(entry, shown.opener) for entry in entries],
        whole=whole,
        least=_WHY_LEAST,
        styles=["" if one.verdict and one.verdict.granted else "yellow" for one in entries],
    )


def _row(entry: Entry, opener: Opener) -> tuple[str, ...]:
    event, verdict = entry.event, entry.verdict
    values = {} if event is None else opener.values(event, entry.machine)
    return (
        str(entry.offset),
        rfc3339(_time_ms(entry)),
        "-"
        if entry.discarded
        else "undecodable"
        if event is None
        else event.type.removeprefix("license."),
        _set_aside(entry) if verdict is None else verdict.code,
        str(values.get("fingerprint") or values.get("reason") or ""),
        why(entry) + _apart(entry),
    )


def _unread(entry: Entry) -> str:
    return "-" if entry.discarded else "undecodable"


def _set_aside(entry: Entry) -> str:
    return "discarded" if entry.discarded else "set aside"


def _time_ms(entry: Entry) -> int:
    """When it happened: in the source it was imported from, else when it was sent."""
    event = entry.event
    if event is None:
        return entry.timestamp_ms
    return event.time_ms if event.occurred_at_ms is None else event.occurred_at_ms


def _apart(entry: Entry) -> str:
    if entry.apart_ms is None:
        return ""
    direction = "ahead of" if entry.apart_ms > 0 else "behind"
    logged = rfc3339(entry.timestamp_ms)
    return (
        f"; the sender's clock was {abs(entry.apart_ms) // 1000} s {direction} the log's {logged}"
    )
