"""What became of the catalog's events: told by asking a replica, which remembers the latest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cli.replica import CatalogRemembered, Replicas
from cli.tailing.told import Told
from cli.tailing.wording import as_values, in_words, refused
from ledger.domain.catalog.entities import RULES_ID, Account, AnyEntity, Token
from ledger.domain.catalog.events import CatalogEvent, TokenCreated
from ledger.domain.catalog.verdicts import IDEMPOTENCY_MISMATCH, CatalogVerdict
from ledger.domain.clocks import rfc3339
from ledger.event_log import genesis
from ledger.event_log.catalog_codec import decode_catalog
from ledger.event_log.codec import UndecodableError, UnknownRulesError
from ledger.event_log.port import Record, Topic

FOLDED_S: Final = 1.0
"""How long a replica is waited for that has not folded an event yet."""
_TOKENS_MAX: Final = 10_000


class CatalogTeller:
    """Tells of the catalog's events; a token's name and bearer also once it is gone."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._names: dict[str, str | None] = {}
        self._licenses: dict[str, str] = {}

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """See `Teller`."""
        decoded = [
            (record, *_decoded(record)) for record in records if record.key != genesis.RECORD_KEY
        ]
        events = [(event, record.offset) for record, event, _ in decoded if event is not None]
        remembered = await self._replicas.catalog_remembered(events, limit_s=FOLDED_S)
        nothing: list[CatalogRemembered | None] = [None] * len(events)
        known = iter(nothing if remembered is None else remembered)
        return [
            self._told(record, event, trouble, None if event is None else next(known))
            for record, event, trouble in decoded
        ]

    def _told(
        self,
        record: Record,
        event: CatalogEvent | None,
        trouble: str,
        remembered: CatalogRemembered | None,
    ) -> Told:
        account = (record.key or b"").decode(errors="replace")
        if event is None:
            return _made(record, subject=account, account=account, why=trouble)
        verdict = _verdict(event, record.offset, remembered)
        self._learn(event, None if remembered is None else remembered.entity)
        return _made(
            record,
            subject=event.subject,
            account=None if event.account == RULES_ID else event.account,
            why=_why(event, record.offset, verdict),
            license_=self._licenses.get(event.subject),
            name=self._names.get(event.subject),
            event=event,
            verdict=verdict,
        )

    def _learn(self, event: CatalogEvent, entity: AnyEntity | None) -> None:
        """Know what the subject is called, and which license a token is of."""
        if len(self._names) >= _TOKENS_MAX:
            self._names.clear()
            self._licenses.clear()
        said = getattr(event.data, "name", None) or getattr(event.data, "slug", None)
        if isinstance(said, str):
            self._names[event.subject] = said
        elif entity is not None:
            slug = entity.slug if isinstance(entity, Account) else None
            self._names[event.subject] = getattr(entity, "name", None) or slug
        token = event.data if isinstance(event.data, TokenCreated) else entity
        if isinstance(token, TokenCreated | Token) and token.role == "activation":
            self._licenses[event.subject] = token.bearer


def _made(  # noqa: PLR0913 - a value each
    record: Record,
    *,
    subject: str,
    account: str | None,
    why: str,
    license_: str | None = None,
    name: str | None = None,
    event: CatalogEvent | None = None,
    verdict: CatalogVerdict | None = None,
) -> Told:
    more: dict[str, Any] = {"subject": subject}
    if event is not None:
        more |= {"time": rfc3339(event.time_ms), "actor": event.actor, "id": event.id}
        more |= as_values(event.data)
    if verdict is not None and verdict.version is not None:
        more["version"] = verdict.version
    return Told(
        topic=Topic.CATALOG_EVENTS,
        partition=0,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        subject=subject,
        license=license_,
        account=account,
        name=name,
        type=None if event is None else event.type,
        actor=None if event is None else event.actor,
        verdict=None if verdict is None else verdict.code,
        granted=verdict is not None and verdict.granted,
        why=why,
        more=more,
    )


def _why(event: CatalogEvent, offset: int, verdict: CatalogVerdict | None) -> str:
    said = in_words(event.data)
    if verdict is None:
        return said
    if verdict.offset != offset:
        return f"the same command as at offset {verdict.offset}: its verdict again, nothing changed"
    if not verdict.granted:
        return refused(verdict.code)
    version = None if not verdict.version else f"version {verdict.version} now"
    return "; ".join(filter(None, (said, version)))


def _verdict(
    event: CatalogEvent, offset: int, remembered: CatalogRemembered | None
) -> CatalogVerdict | None:
    """Return the event's verdict from what is remembered of its command; None: can't be told."""
    if remembered is None or not remembered.folded or remembered.verdict is None:
        return None
    first = remembered.verdict
    if first.offset > offset:
        return None
    if first.offset < offset and first.content_digest != event.content_digest:
        return CatalogVerdict(
            code=IDEMPOTENCY_MISMATCH,
            offset=offset,
            time_ms=event.time_ms,
            content_digest=event.content_digest,
            entity=event.subject,
        )
    return first


def _decoded(record: Record) -> tuple[CatalogEvent | None, str]:
    try:
        return decode_catalog(record.key, record.value), ""
    except UndecodableError:
        return None, "the record can't be decoded: the catalog stands still before it"
    except UnknownRulesError as error:
        return None, str(error)
