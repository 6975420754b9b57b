"""A vendor's export loaded: licenses, then machines, at last suspensions.

In that order, since a suspended license takes no machines. Each event carries the file's source
and a sequence by its line, so running it again, after a kill or with a grown file, changes nothing
that was applied. A license that is there already from elsewhere is left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from cli.connection import Connection
from cli.importing.files import Watching
from cli.importing.pace import Pace
from cli.importing.pipeline import Pipeline, ToAppend
from cli.importing.run import ACTOR, writing_now
from cli.importing.vendor_foresight import Foresight
from cli.importing.vendor_policies import Policies
from cli.importing.vendor_rows import (
    Ready,
    data_key_hint,
    license_key,
    line_of,
    outcome,
    refusal,
    said_as,
    sequence_of,
    unwritable,
)
from cli.importing.vendor_scan import Table, compare, digested
from cli.patience import patiently
from ledger.domain import identifiers
from ledger.domain.catalog.entities import FIRST_RULES, Policy
from ledger.domain.clocks import Now
from ledger.domain.events import ActivationRequested, Event, EventData, Issued, Suspended
from ledger.domain.identifiers import partition_of
from ledger.domain.license import Machine
from ledger.domain.terms import OwnTerms
from ledger.event_log.codec import EventTooLargeError, UndecodableError, encode
from ledger.sealing.data_key import DataKey
from ledger.sources.vendor_csv import LicenseRow, MachineRow

CHUNK_ROWS: Final = 1_000
_OPENED_AT_ONCE: Final = 64


class Loaded(Struct, kw_only=True):
    """What became of a file's rows: `added` now, `before` this run already; the rest is bad.

    What was applied before is not asked for again, also where the ledger refused it then.
    """

    table: Table
    added: int = 0
    before: int = 0
    suspended: int = 0


class VendorImport:
    """Loads tables into the ledger of `connection`."""

    def __init__(self, connection: Connection, policy: str | None = None) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._pepper = connection.settings.pepper
        self._account = identifiers.slug_id(
            connection.ledger, "account", connection.settings.catalog.account
        )
        self._policies = Policies(connection.replicas, self._account, policy)
        self._pace: Pace | None = None
        self._now: Now | None = None
        self._rules = FIRST_RULES

    async def look(
        self, tables: Sequence[Table], watching: Watching, *, foresee: bool = False
    ) -> list[Loaded]:
        """Compare the tables with the ledger and write nothing: what would be added, what is bad.

        `foresee`: also which machines their licenses would refuse. Raises `ImportRefusedError`
        where earlier lines of a file were changed, or no policy is named.
        """
        await self._policies.check(tables)
        self._rules = await self._connection.replicas.rules()
        foresight = Foresight((await self._connection.replicas.now()).time_ms)
        found = []
        for table in tables:
            on_moved = watching.begin(table)
            try:
                found.append(await self._look(table, foresight, on_moved, foresee=foresee))
            finally:
                watching.end()
        return found

    async def _look(
        self,
        table: Table,
        foresight: Foresight,
        on_moved: Callable[[int], None],
        *,
        foresee: bool,
    ) -> Loaded:
        loaded, applied = Loaded(table=table), dict[int, str | None]()
        async for chunk in self._chunks(table):
            for one in chunk:
                heard = None if one.known is None else one.known.sources.get(table.source)
                if heard is not None:
                    applied[line_of(table, heard.sequence)] = heard.digest
                self._count(loaded, foresight.seen(one), foresight, foresee=foresee)
            on_moved(len(chunk))
        await asyncio.to_thread(compare, table, self._pepper, applied)
        return loaded

    async def load(self, table: Table, on_moved: Callable[[int], None]) -> Loaded:
        """Load a table that was looked at; suspensions come later, by `suspend`."""
        loaded = Loaded(table=table)
        async for chunk in self._chunks(table):
            wanted = []
            for one in chunk:
                wrong = refusal(table, one)
                if wrong is not None:
                    table.note(wrong)
                elif self._is_there(table, one):
                    loaded.before += 1
                else:
                    wanted.append(one)
            sent = await self._send(table, wanted)
            await self._check(loaded, sent)
            on_moved(len(chunk))
        return loaded

    async def suspend(self, loaded: Loaded) -> None:
        """Suspend the licenses whose rows say so, if this file issued them and has not yet."""
        table = loaded.table
        async for chunk in self._chunks(table):
            wanted = [
                one
                for one in chunk
                if said_as(one, LicenseRow).suspended
                and one.known is not None
                and one.known.status == "live"
                and one.heard(table.source) == sequence_of(table, one)
            ]
            self._now = await writing_now(self._connection.replicas)
            events = [(one, self._event(table, one, Suspended(), later=1)) for one in wanted]
            await self._append(events)
            loaded.suspended += len(events)

    async def _chunks(self, table: Table) -> AsyncIterator[list[Ready]]:
        reading = digested(table, self._pepper)
        while rows := await asyncio.to_thread(lambda: list(islice(reading, CHUNK_ROWS))):
            named = [(row, self._license_id(license_key(row))) for row in rows]
            yield await self._known([Ready(row=row, license=id_, known=None) for row, id_ in named])

    async def _known(self, rows: Sequence[Ready]) -> list[Ready]:
        """Return the rows as the ledger knows their licenses and machines now."""
        replicas = self._connection.replicas
        states = await replicas.licenses([one.license for one in rows])
        machines: Sequence[Machine | None] = [None] * len(rows)
        policies: Sequence[Policy | None] = [None] * len(rows)
        if rows and isinstance(rows[0].row.row.said, MachineRow):
            machines = await replicas.machines([self._machine_id(one) for one in rows])
        elif rows:
            policies = await self._policies.of(rows)
        return [
            Ready(row=one.row, license=one.license, known=state, machine=machine, policy=policy)
            for one, state, machine, policy in zip(rows, states, machines, policies, strict=True)
        ]

    def _count(self, loaded: Loaded, one: Ready, foresight: Foresight, *, foresee: bool) -> None:
        table = loaded.table
        wrong = refusal(table, one)
        there = wrong is None and self._is_there(table, one)
        if wrong is None and not there and table.kind == "licenses":
            foresight.issue(one)
        elif wrong is None and not there and foresee:
            wrong = foresight.activate(one)
        if wrong is not None:
            table.note(wrong)
        elif there:
            loaded.before += 1
        else:
            loaded.added += 1

    def _is_there(self, table: Table, one: Ready) -> bool:
        """Whether the row was applied before, or its license was issued from elsewhere."""
        if one.heard(table.source) >= sequence_of(table, one):
            return True
        if table.kind == "machines":
            return one.holds
        return one.known is not None and one.known.status == "live"

    async def _send(self, table: Table, wanted: Sequence[Ready]) -> list[Ready]:
        """Append a chunk's events and wait until a replica has folded them: what was sent."""
        events: list[tuple[Ready, Event]] = []
        for at in range(0, len(wanted), _OPENED_AT_ONCE):
            some = wanted[at : at + _OPENED_AT_ONCE]
            opened = await self._open(some)
            self._now = await writing_now(self._connection.replicas)
            for one in some:
                data = self._data(one, opened[one.license])
                events.append((one, self._event(table, one, data)))
        return await self._append(events, table)

    async def _open(self, some: Sequence[Ready]) -> dict[str, DataKey]:
        """Have a data key for each license; one that is new is acknowledged before it is used."""
        hints = {one.license: data_key_hint(one.known) for one in some}
        keys = await asyncio.gather(*(self._data_key(*each) for each in hints.items()))
        return dict(zip(hints, keys, strict=True))

    async def _data_key(self, license_: str, hint: str | None) -> DataKey:
        # One whose append has no known outcome is harmless: nothing was sealed under it.
        return await patiently(
            lambda: self._connection.sealer.data_key_for(self._account, license_, hint)
        )

    async def _append(
        self, events: Sequence[tuple[Ready, Event]], table: Table | None = None
    ) -> list[Ready]:
        log = self._connection.log
        if not events:
            return []
        self._pace = self._pace or Pace(log, self._connection.replicas)
        sent = []
        async with Pipeline(log, comfort=self._pace.comfort) as pipeline:
            for one, event in events:
                try:
                    record = ToAppend(key=event.license.encode(), value=encode(event))
                except (EventTooLargeError, UndecodableError) as error:
                    if table is not None:
                        table.note(unwritable(one, error))
                    continue
                await pipeline.put(partition_of(one.license, self._settings.partitions), record)
                sent.append(one)
        await self._pace.folded(pipeline.acknowledged)
        return sent

    async def _check(self, loaded: Loaded, sent: Sequence[Ready]) -> None:
        """See what the ledger made of what was sent."""
        for after in await self._known(sent):
            wrong = outcome(loaded.table, after, self._now)
            if wrong is None:
                loaded.added += 1
            else:
                loaded.table.note(wrong)

    def _data(self, one: Ready, data_key: DataKey) -> EventData:
        said, account = one.row.row.said, self._account

        def sealed(text: str) -> str:
            return data_key.seal(account, one.license, text)

        if isinstance(said, LicenseRow):
            policy = one.policy
            assert policy is not None  # noqa: S101 - without one it is refused
            return Issued(
                account=account,
                product=policy.product,
                policy=policy.id,
                key=sealed(said.key),
                name=said.name,
                metadata=said.metadata,
                terms=policy.terms,
                own=OwnTerms(max_machines=said.max_machines, expiry_ms=said.expiry_ms),
            )
        machine = said_as(one, MachineRow)
        return ActivationRequested(
            machine=self._machine_id(one),
            fingerprint=sealed(machine.fingerprint),
            fingerprint_digest=identifiers.fingerprint_digest(
                self._pepper, account, machine.fingerprint
            ),
            seats=machine.seats,
            name=None if machine.name is None else sealed(machine.name),
            hostname=None if machine.hostname is None else sealed(machine.hostname),
            platform=machine.platform,
        )

    def _event(self, table: Table, one: Ready, data: EventData, *, later: int = 0) -> Event:
        assert self._now is not None  # noqa: S101 - read before
        sequence = sequence_of(table, one) + later
        said = one.row.row.said
        id_ = identifiers.import_command_id(self._pepper, one.license, table.source, sequence)
        content = f"{sequence}\n{one.row.digest}".encode()
        return Event(
            id=id_,
            source=table.source,
            license=one.license,
            time_ms=self._now.time_ms,
            actor=ACTOR,
            content_digest=identifiers.content_digest(self._pepper, content),
            data=data,
            policy_version=one.policy.version if isinstance(data, Issued) and one.policy else None,
            rules=self._rules,
            sequence=sequence,
            source_digest=one.row.digest,
            occurred_at_ms=said.activated_ms if isinstance(said, MachineRow) else None,
        )

    def _machine_id(self, one: Ready) -> str:
        fingerprint = said_as(one, MachineRow).fingerprint
        return identifiers.machine_id(self._pepper, one.license, fingerprint)

    def _license_id(self, key: str) -> str:
        return identifiers.license_id(self._pepper, self._account, key)
