"""`ledger tail`: the stream of events of licenses and of the catalog, a line an event."""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Final

import typer

from cli import connection, output, trouble
from cli.commands.check import key_of
from cli.connection import Connection
from cli.forget import licenses_named
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.patience import patiently
from cli.running import run
from cli.tailing.catalog import CatalogTeller
from cli.tailing.following import ASKED_S, ends_of
from cli.tailing.following import follow as follow_log
from cli.tailing.licenses import Asking, Folding
from cli.tailing.lines import Lines
from cli.tailing.told import Teller, Told
from ledger.domain.catalog.events import CATALOG_TYPES
from ledger.domain.clocks import from_rfc3339
from ledger.domain.events import TYPES
from ledger.domain.identifiers import partition_of
from ledger.event_log.codec import UnknownRulesError
from ledger.event_log.discards import read_discards
from ledger.event_log.port import EventLog, Record, TimedLog, Topic
from ledger.settings import Settings
from projector.read_model.keys import CATALOG

LAST: Final = 10
LOOKED_BACK: Final = 1_000
"""Records of each partition that are looked at where --since says nothing."""
REFUSED: Final = "refused"
_AGO: Final = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be shown: all of the conditions that are there."""

    types: frozenset[str]
    actor: str | None
    account: str | None
    license: str | None
    verdict: str | None
    since_ms: int | None

    def fits(self, told: Told) -> bool:
        """Whether an event is to be shown; what can't be told of it fits nothing."""
        if self.since_ms is not None and told.timestamp_ms < self.since_ms:
            return False
        if self.types and told.type not in self.types:
            return False
        if self.actor is not None and not (told.actor or "").startswith(self.actor):
            return False
        if self.account is not None and told.account != self.account:
            return False
        if self.license is not None and told.license != self.license:
            return False
        if self.verdict is None or told.verdict is None:
            return self.verdict is None
        return not told.granted if self.verdict == REFUSED else told.verdict == self.verdict


def tail(  # noqa: PLR0913 - an option each
    *,
    account: Annotated[
        str | None,
        typer.Option("--account", metavar="ACCOUNT", help="Only of this account: its id or slug."),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="LICENSE",
            help="Only this one, its tokens with it: id or key; - for stdin.",
        ),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Only this type (repeatable): issued, policy-changed, token-created, …",
        ),
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
    """Follow the stream of events, of licenses and of the catalog, a line an event, until Ctrl-C.

    A verdict is told where a replica remembers it: 24 hours, or the last 64 commands of a license
    (of the catalog: of who asked); ? is what nobody but a fold can tell, imported events among
    them. With --license its log is folded from the beginning and every verdict told. Times are the
    log's, in UTC. Examples: `ledger tail`, `ledger tail --since 10m --verdict refused`,
    `ledger tail --type policy-changed --type token-revoked`,
    `ledger tail --license LIC-… --since beginning --no-follow --json`.
    """
    wanted = Wanted(
        types=_types(types or []),
        actor=actor,
        account=None,
        license=None,
        verdict=verdict,
        since_ms=_since_ms(since),
    )
    settings = connection.settings(data)
    named = None if license_ is None else key_of(license_)
    forever = sys.stdout.isatty() if follow is None else follow
    if last is None and since is None:
        last = LAST
    show = _json_line if as_json else Lines().show
    run(_Tail(settings, wanted, last, show).run(account, named, forever=forever))


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

    async def run(self, account: str | None, named: str | None, *, forever: bool) -> None:
        async with connection.connected(self._settings) as connected:
            log = connected.log
            teller: Teller = Asking(connected.replicas, _say)
            if account is not None:
                id_ = await _account(connected, account)
                self._wanted = replace(self._wanted, account=id_)
            if named is None:
                starts = await self._starts(log)
            else:
                id_ = await _known(log, self._settings, connected.ledger, named)
                self._wanted = replace(self._wanted, license=id_)
                partition = partition_of(id_, self._settings.partitions)
                starts = {partition: 0, CATALOG: 0}
                teller = Folding(id_, (await read_discards(log)).of(partition))
            both = _Both(teller, CatalogTeller(connected.replicas))
            try:
                await self._go(log, both, starts, forever=forever)
            except UnknownRulesError as error:
                raise trouble.Failed(str(error)) from None

    async def _go(
        self,
        log: EventLog,
        teller: Teller,
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
            since_ms = self._wanted.since_ms
            starts, catalog = [
                await patiently(partial(log.since, topic, since_ms), for_s=ASKED_S)
                for topic in (Topic.LICENSE_EVENTS, Topic.CATALOG_EVENTS)
            ]
            return {**starts, CATALOG: catalog[0]}
        back = max(LOOKED_BACK, self._last or 0)
        ends = await patiently(partial(ends_of, log, {CATALOG}), for_s=ASKED_S)
        return {partition: max(end - back, 0) for partition, end in ends.items()}


class _Both:
    """Tells of both topics, in the order of time."""

    def __init__(self, licenses: Teller, catalog: Teller) -> None:
        self._licenses = licenses
        self._catalog = catalog

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """See `Teller`."""
        told = await self._licenses.tell([one for one in records if one.partition != CATALOG])
        catalog = [one for one in records if one.partition == CATALOG]
        if catalog:
            told += await self._catalog.tell(catalog)
        return sorted(told, key=lambda one: one.timestamp_ms)


async def _account(connected: Connection, named: str) -> str:
    """Return the id of the account with this id or slug. Raises `Missing`."""
    found = await connected.replicas.account(named)
    if found is None:
        raise trouble.Missing(f"--account {named}: there is no account with this id or slug")
    return found


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
    known = {name.partition(".")[2]: name for name in (*TYPES, *CATALOG_TYPES)}
    found = {one.rpartition(".")[2].replace(" ", "-") for one in given}
    if unknown := sorted(found - known.keys()):
        near = get_close_matches(unknown[0], known, n=3)
        said = f"did you mean {' or '.join(near)}?" if near else f"it is one of {', '.join(known)}"
        raise trouble.Missing(f"--type {unknown[0]}: {said}")
    return frozenset(known[one] for one in found)


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


def _json_line(told: Told) -> None:
    output.print_json_line(told.document)
