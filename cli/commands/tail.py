"""`ledger tail`: the stream of license events, a line an event."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from cli import connection, output, trouble
from cli.commands.check import key_of
from cli.following import follow as follow_log
from cli.forget import licenses_named
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.telling import Asking, Folding, Told
from ledger.domain.clocks import from_rfc3339, rfc3339
from ledger.domain.events import TYPES
from ledger.domain.identifiers import partition_of
from ledger.event_log.codec import UnknownRulesError
from ledger.event_log.port import EventLog, TimedLog, Topic
from ledger.settings import Settings

LAST: Final = 10
LOOKED_BACK: Final = 1_000
"""Records of each partition that are looked at where --since says nothing."""
REFUSED: Final = "refused"
UNTOLD: Final = "?"
_PREFIX: Final = "license."
_AGO: Final = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NARROW: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be shown: all of the conditions that are there."""

    types: frozenset[str]
    actor: str | None
    verdict: str | None
    since_ms: int | None

    def fits(self, told: Told) -> bool:
        """Whether an event is to be shown; one whose verdict can't be told fits no verdict."""
        event, verdict = told.entry.event, told.entry.verdict
        if self.since_ms is not None and told.entry.timestamp_ms < self.since_ms:
            return False
        if self.types and (event is None or event.type not in self.types):
            return False
        if self.actor is not None and (event is None or not event.actor.startswith(self.actor)):
            return False
        if self.verdict is None:
            return True
        if verdict is None:
            return False
        return not verdict.granted if self.verdict == REFUSED else verdict.code == self.verdict


def tail(  # noqa: PLR0913 - an option each
    *,
    license_: Annotated[
        str | None,
        typer.Option("--license", metavar="LICENSE", help="Only this one: id or key; - for stdin."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only this type (repeatable): issued, …"),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", help="Only of whoever's name begins so: import, token:3f…"),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option("--verdict", help="Only with this verdict: granted, refused, or a code."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="10m, 2h, 7d, an RFC 3339 time, beginning."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            "-n", min=0, help=f"Begin with the last N (default: {LAST}; with --since: all)."
        ),
    ] = None,
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--no-follow", help="Go on (default: in a terminal)."),
    ] = None,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Follow the stream of license events, a line an event, until Ctrl-C.

    A verdict is told where a replica remembers it: 24 hours, or a license's last 64 commands; ? is
    what nobody but a fold can tell, imported events among them. With --license its log is folded
    from the beginning and every verdict told. Times are the log's, in UTC.
    Examples: `ledger tail`, `ledger tail --since 10m --verdict refused`,
    `ledger tail --license LIC-… --since beginning --no-follow --json`.
    """
    wanted = Wanted(
        types=_types(types or []), actor=actor, verdict=verdict, since_ms=_since_ms(since)
    )
    settings = connection.settings(data)
    named = None if license_ is None else key_of(license_)
    forever = sys.stdout.isatty() if follow is None else follow
    if last is None and since is None:
        last = LAST
    show = _json_line if as_json else _Lines().show
    asyncio.run(_Tail(settings, wanted, last, show).run(named, forever=forever))


class _Tail:
    def __init__(
        self,
        settings: Settings,
        wanted: Wanted,
        last: int | None,
        show: Any,  # noqa: ANN401 - prints
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._last = last
        self._show = show

    async def run(self, named: str | None, *, forever: bool) -> None:
        async with connection.connected(self._settings) as connected:
            log = connected.log
            teller: Folding | Asking = Asking(connected.replicas, _say)
            if named is None:
                starts = await self._starts(log)
            else:
                id_ = await _known(log, self._settings, connected.ledger, named)
                starts = {partition_of(id_, self._settings.partitions): 0}
                teller = Folding(id_)
            try:
                await self._go(log, teller, starts, forever=forever)
            except UnknownRulesError as error:
                raise trouble.Failed(str(error)) from None

    async def _go(
        self,
        log: EventLog,
        teller: Folding | Asking,
        starts: Mapping[int, int],
        *,
        forever: bool,
    ) -> None:
        held: deque[Told] | None = None if self._last is None else deque(maxlen=self._last)
        async with aclosing(follow_log(log, starts, forever=forever, say=_say)) as batches:
            async for batch in batches:
                fitting = filter(self._wanted.fits, await teller.tell(batch))
                if held is not None:
                    held.extend(fitting)
                    if batch:
                        continue
                    fitting, held = iter(held), None  # type: ignore[assignment]
                for told in fitting:
                    self._show(told)

    async def _starts(self, log: TimedLog) -> dict[int, int]:
        if self._wanted.since_ms is not None:
            return await log.since(Topic.LICENSE_EVENTS, self._wanted.since_ms)
        back = max(LOOKED_BACK, self._last or 0)
        ends = await log.ends(Topic.LICENSE_EVENTS)
        return {partition: max(end - back, 0) for partition, end in ends.items()}


async def _known(log: EventLog, settings: Settings, ledger: str, named: str) -> str:
    """Return the license that is meant: the first of the candidates that the log has."""
    candidates = licenses_named(settings, ledger, named)
    for id_ in candidates[:-1]:
        partition = partition_of(id_, settings.partitions)
        async with aclosing(log.read(Topic.LICENSE_EVENTS, partition, start=0)) as batches:
            async for records in batches:
                if any(record.key == id_.encode() for record in records):
                    return id_
    return candidates[-1]


def _types(given: Sequence[str]) -> frozenset[str]:
    found = frozenset(f"{_PREFIX}{one.removeprefix(_PREFIX).replace(' ', '-')}" for one in given)
    if unknown := sorted(found - TYPES.keys()):
        known = ", ".join(name.removeprefix(_PREFIX) for name in TYPES)
        raise trouble.Missing(f"--type {unknown[0].removeprefix(_PREFIX)}: it is one of {known}")
    return found


def _since_ms(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "beginning":
        return 0
    if (ago := _AGO.fullmatch(text)) is not None:
        return max(time.time_ns() // 1_000_000 - int(ago[1]) * _UNIT_MS[ago[2]], 0)
    try:
        return max(from_rfc3339(text), 0)
    except (ValueError, OverflowError):
        raise trouble.Missing(
            f"--since {text}: it is 10m, 2h, 7d, a time like 2026-01-31T08:00:00Z, or beginning"
        ) from None


def _say(text: str) -> None:
    output.error_console().print(f"ledger tail: {text}", markup=False, style="yellow")


class _Lines:
    """Prints lines for people, as wide as the terminal; elsewhere as long as they are."""

    def __init__(self) -> None:
        self._console = output.console()

    def show(self, told: Told) -> None:
        """Print one event."""
        entry, wide = told.entry, self._console.width >= _NARROW
        event, verdict = entry.event, entry.verdict
        at = rfc3339(entry.timestamp_ms)
        kind = "undecodable" if event is None else _words(event.type)
        who = "" if event is None else event.actor
        code = UNTOLD if verdict is None else verdict.code
        columns = (
            (f"{at[:19]}Z" if wide else at[5:19].replace("T", " "), 20 if wide else 14, "dim"),
            (told.license[:8], 8, ""),
            (told.name or "", 20 if wide else 12, "bold"),
            (kind, 15, ""),
            *(((who, 14, "dim"),) if wide else ()),
        )
        line = Text()
        for text, width, style in columns:
            line.append(f"{self._fit(output.plain(text).plain, width)}  ", style=style)
        granted = verdict is not None and verdict.granted
        line.append(code, style="green" if granted else "dim" if verdict is None else "red")
        line.append(f"  {told.why}" if told.why else "", style="dim")
        if self._console.is_terminal:
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            print(line.plain, flush=True)

    def _fit(self, text: str, width: int) -> str:
        cut = self._console.is_terminal and len(text) > width
        return f"{text[: width - 1]}…" if cut else text.ljust(width)


def _words(type_: str) -> str:
    return type_.removeprefix(_PREFIX).removesuffix("-requested").replace("-", " ")


def _json_line(told: Told) -> None:
    output.print_json_line(document(told))


def document(told: Told) -> dict[str, Any]:
    """What is told of an event: nothing sealed, and no value of it."""
    entry = told.entry
    event, verdict = entry.event, entry.verdict
    found: dict[str, Any] = {
        "partition": told.partition,
        "offset": entry.offset,
        "appended": rfc3339(entry.timestamp_ms),
        "license": told.license,
        "name": told.name,
        "type": None if event is None else event.type,
    }
    if event is not None:
        found |= {"time": rfc3339(event.time_ms), "actor": event.actor, "id": event.id}
        for name in ("machine", "seats"):
            if (value := getattr(event.data, name, None)) is not None:
                found[name] = value
        if event.sequence is not None:
            found |= {"source": event.source, "sequence": event.sequence}
        if event.occurred_at_ms is not None:
            found["occurredAt"] = rfc3339(event.occurred_at_ms)
    found["verdict"] = None if verdict is None else verdict.code
    if verdict is not None:
        found |= {"seatsHeld": verdict.seats_held, "limit": verdict.limit}
    return found | {"why": told.why}
