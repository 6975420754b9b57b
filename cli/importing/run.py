"""One import: a license a feature, a machine a concurrent checkout, and what the ledger made of it.

Running it again, after a kill or with a grown copy, changes nothing that was applied: each event
carries its source and its line's number, and the ledger keeps the highest that it applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from cli.importing.pace import Pace
from cli.importing.pipeline import Pipeline, ToAppend
from cli.importing.scan import ImportRefusedError, Line, Scan, compare, lines_to_send
from cli.patience import patiently
from cli.replica import Replicas
from ledger.domain import identifiers
from ledger.domain.clocks import Now
from ledger.domain.events import (
    ActivationRequested,
    DeactivationRequested,
    DenialImported,
    Event,
    EventData,
    Issued,
    TermsChanged,
)
from ledger.domain.identifiers import partition_of
from ledger.domain.license import License
from ledger.domain.terms import OwnTerms
from ledger.event_log.codec import encode
from ledger.event_log.port import EventLog
from ledger.sealing.data_key import DataKey
from ledger.sealing.sealer import Sealer
from ledger.settings import Settings

ACTOR: Final = "import"
_NOW_S: Final = 1.0


class ImportIncompleteError(Exception):
    """The ledger has not applied all that was sent; its text names the feature and the line."""


class Feature(Struct, kw_only=True):
    """A feature's license: its id and key, the seats it is to have, and what the ledger knows."""

    name: str
    license: str
    key: str
    seats: int
    known: License | None
    data_key: DataKey | None = None

    def heard(self, source: str) -> int:
        """Return the highest line that was applied; 0 for none, -1 if it is not issued."""
        heard = None if self.known is None else self.known.sources.get(source)
        return -1 if heard is None else heard.sequence


class FeatureResult(Struct, frozen=True, kw_only=True):
    """What the ledger says of a feature's license in the end."""

    feature: str
    license: str
    seats: int | None
    checkouts: int
    refused: int
    denied: int
    peak: int
    left: int


class Importer:
    """Imports one scanned file into the ledger `ledger` (its id)."""

    def __init__(
        self,
        *,
        settings: Settings,
        ledger: str,
        log: EventLog,
        sealer: Sealer,
        replicas: Replicas,
        on_moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._sealer = sealer
        self._replicas = replicas
        self._on_moved = on_moved
        self._catalog = settings.catalog
        self._account = identifiers.slug_id(ledger, "account", self._catalog.account)
        self._product = identifiers.slug_id(ledger, "product", self._catalog.product)
        self._policy = identifiers.slug_id(ledger, "policy", self._catalog.policy)
        self._now: Now | None = None
        self._pace: Pace | None = None
        self._watch: asyncio.Task[None] | None = None

    async def features(self, found: Scan, seats: Mapping[str, int]) -> dict[str, Feature]:
        """Return the features' licenses, as the ledger knows them now.

        `seats`: what `--seats` says; else a feature has its observed peak, and never less than it
        had. Raises `ImportRefusedError` for an unknown name, or where earlier lines were changed.
        """
        unknown = sorted(set(seats) - set(found.features))
        if unknown:
            msg = f"--seats {unknown[0]}: no feature of that name is in {found.path}"
            raise ImportRefusedError(msg)
        named = [name for name, tally in found.features.items() if name in seats or tally.peak]
        keys = {name: self._key(found.source, name) for name in named}
        ids = [self._license_id(keys[name]) for name in named]
        states = await self._replicas.licenses(ids)
        features = {
            name: Feature(
                name=name,
                license=id_,
                key=keys[name],
                seats=seats.get(name) or max(found.features[name].peak, _own_seats(known)),
                known=known,
            )
            for name, id_, known in zip(named, ids, states, strict=True)
        }
        compare(found, self._settings.pepper, _applied(found.source, features))
        return features

    async def send(self, found: Scan, features: Mapping[str, Feature]) -> None:
        """Append all that the ledger has not applied, and wait until a replica has folded it."""
        self._now = await writing_now(self._replicas)
        self._pace = Pace(self._log, self._replicas)
        self._watch = asyncio.create_task(self._follow_the_clocks())
        try:
            async with Pipeline(
                self._log, comfort=self._comfort, on_stored=self._on_moved
            ) as pipeline:
                for line in lines_to_send(found, self._settings.pepper):
                    feature = features.get(line.move.activity.feature)
                    if feature is not None:
                        await self._send_line(pipeline, found.source, feature, line)
            await self._pace.folded(pipeline.acknowledged)
        finally:
            self._watch.cancel()

    async def results(self, found: Scan, features: Mapping[str, Feature]) -> list[FeatureResult]:
        """Return what the ledger says of each feature, most checkouts first."""
        states = await self._replicas.licenses([one.license for one in features.values()])
        results = [
            _result(feature, state, found)
            for feature, state in zip(features.values(), states, strict=True)
        ]
        return sorted(results, key=lambda result: (-result.checkouts, result.feature))

    async def _send_line(
        self, pipeline: Pipeline, source: str, feature: Feature, line: Line
    ) -> None:
        if line.move.activity.line <= feature.heard(source):
            self._on_moved(1)
            return
        if feature.data_key is None:
            await self._open(pipeline, source, feature)
        event = self._event(source, feature, line)
        await pipeline.put(self._partition(feature), _record(event))

    async def _open(self, pipeline: Pipeline, source: str, feature: Feature) -> None:
        """Have the feature's data key; issue its license, or raise its seats, before its lines."""
        known = feature.known
        issued = known is not None and known.status == "live"
        hint = known.key.partition(".")[0] if known is not None and issued else None
        # A data key whose append has no known outcome is harmless: nothing was sealed under it.
        feature.data_key = await patiently(
            lambda: self._sealer.data_key_for(self._account, feature.license, hint)
        )
        if not issued:
            await pipeline.put(self._partition(feature), _record(self._issued(source, feature)))
        elif known is not None and known.own.max_machines != feature.seats:
            await pipeline.put(self._partition(feature), _record(self._reseated(source, feature)))

    def _issued(self, source: str, feature: Feature) -> Event:
        assert feature.data_key is not None  # noqa: S101 - opened first
        data = Issued(
            account=self._account,
            product=self._product,
            policy=self._policy,
            key=feature.data_key.seal(self._account, feature.license, feature.key),
            name=feature.name,
            terms=self._catalog.terms,
            own=OwnTerms(max_machines=feature.seats),
        )
        id_ = identifiers.import_command_id(self._settings.pepper, feature.license, source, 0)
        return self._made(source, feature, data, id_=id_, policy_version=0, sequence=0)

    def _reseated(self, source: str, feature: Feature) -> Event:
        """Set the license's own seats, as a command of its own: doing it twice is doing it once."""
        assert feature.known is not None  # noqa: S101 - it is issued
        own = OwnTerms(max_machines=feature.seats, expiry_ms=feature.known.own.expiry_ms)
        return self._made(source, feature, TermsChanged(own=own), id_=identifiers.random_id())

    def _event(self, source: str, feature: Feature, line: Line) -> Event:
        number = line.move.activity.line
        id_ = identifiers.import_command_id(self._settings.pepper, feature.license, source, number)
        return self._made(
            source,
            feature,
            self._data(feature, line),
            id_=id_,
            sequence=number,
            source_digest=line.digest,
            occurred_at_ms=line.move.activity.at_ms,
        )

    def _data(self, feature: Feature, line: Line) -> EventData:
        assert feature.data_key is not None  # noqa: S101 - opened first
        activity, fingerprint = line.move.activity, line.move.machine
        if fingerprint is None:
            return DenialImported(kind="denied", seats=activity.seats, reason=activity.reason)
        pepper = self._settings.pepper
        machine = identifiers.machine_id(pepper, feature.license, fingerprint)
        if activity.action == "return":
            return DeactivationRequested(machine=machine)
        sealed = feature.data_key.seal(self._account, feature.license, fingerprint)
        return ActivationRequested(
            machine=machine,
            fingerprint=sealed,
            fingerprint_digest=identifiers.fingerprint_digest(pepper, self._account, fingerprint),
            seats=activity.seats,
            hostname=feature.data_key.seal(self._account, feature.license, activity.host),
        )

    def _made(  # noqa: PLR0913 - an envelope's facts, by name
        self,
        source: str,
        feature: Feature,
        data: EventData,
        *,
        id_: str,
        sequence: int | None = None,
        source_digest: str | None = None,
        occurred_at_ms: int | None = None,
        policy_version: int | None = None,
    ) -> Event:
        assert self._now is not None  # noqa: S101 - `_comfort` waits for it
        content = f"{feature.name}\n{sequence}\n{source_digest}".encode()
        return Event(
            id=id_,
            source=source,
            license=feature.license,
            time_ms=self._now.time_ms,
            actor=ACTOR,
            content_digest=identifiers.content_digest(self._settings.pepper, content),
            data=data,
            policy_version=policy_version,
            sequence=sequence,
            source_digest=source_digest,
            occurred_at_ms=occurred_at_ms,
        )

    def _key(self, source: str, feature: str) -> str:
        """Return the key of a feature's license: the same each time that this log is imported."""
        name = f"{source}:{feature}"
        return identifiers.derived_license_key(self._settings.pepper, self._account, ACTOR, name)

    def _license_id(self, key: str) -> str:
        return identifiers.license_id(self._settings.pepper, self._account, key)

    def _partition(self, feature: Feature) -> int:
        return partition_of(feature.license, self._settings.partitions)

    async def _follow_the_clocks(self) -> None:
        while True:
            await asyncio.sleep(_NOW_S)
            self._now = await writing_now(self._replicas)

    async def _comfort(self) -> None:
        """Wait until there is room, and see that the clocks can still be compared."""
        assert self._pace is not None  # noqa: S101 - `send` has set it
        if self._watch is not None and self._watch.done():
            self._watch.result()
        await self._pace.comfort()


async def writing_now(replicas: Replicas) -> Now:
    """The producer's now. Raises `ImportRefusedError` where the clocks can't be compared."""
    now = await replicas.now()
    if not now.may_write:
        msg = (
            "this host's clock can't be compared with the replicas' (none answers, or the only "
            "one differs by more than 60 s): nothing is written. Start the replicas, or set "
            "the clock, and run it again"
        )
        raise ImportRefusedError(msg)
    return now


def _applied(source: str, features: Mapping[str, Feature]) -> dict[int, str | None]:
    """Return the digest that the ledger keeps of each line that was a license's last one."""
    heard = (
        feature.known.sources[source]
        for feature in features.values()
        if feature.known is not None and source in feature.known.sources
    )
    return {one.sequence: one.digest for one in heard if one.sequence}


def _own_seats(known: License | None) -> int:
    return 0 if known is None else known.own.max_machines or 0


def _record(event: Event) -> ToAppend:
    return ToAppend(key=event.license.encode(), value=encode(event))


def _result(feature: Feature, state: License | None, found: Scan) -> FeatureResult:
    """Tell a feature's end; raises `ImportIncompleteError` if the ledger lacks a line of it."""
    heard = None if state is None else state.sources.get(found.source)
    last = found.last_lines[feature.name]
    if state is None or heard is None or heard.sequence < last:
        applied = 0 if heard is None else heard.sequence
        msg = f"{feature.name}: applied up to line {applied} of {last}; run the import again"
        raise ImportIncompleteError(msg)
    tally = found.features[feature.name]
    refused = state.refusals.get("machine-limit-exceeded", 0)
    asked = tally.checkouts + tally.refused
    return FeatureResult(
        feature=feature.name,
        license=feature.license,
        seats=state.own.max_machines,
        checkouts=asked - refused,
        refused=refused,
        denied=state.refusals.get("imported-denied", 0),
        peak=state.seats_peak,
        left=state.seats_held,
    )
