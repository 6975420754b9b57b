"""What is told of one event, of a license or of the catalog: no secret, and nothing sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from ledger.domain.clocks import rfc3339
from ledger.event_log.port import Record, Topic


class Told(Struct, frozen=True, kw_only=True):
    """A record and what is known of it.

    `subject`: id of what it is about; `license`: of the license that it concerns, `account`: of
    whose it is, and `name`: of the subject, where they are known. `type` and `actor` None: it can't
    be decoded. `verdict` None: nobody here can tell. `more`: what else it says, for programs.
    """

    topic: Topic
    partition: int
    offset: int
    timestamp_ms: int
    subject: str
    license: str | None
    account: str | None
    name: str | None
    type: str | None
    actor: str | None
    verdict: str | None
    granted: bool
    why: str
    more: Mapping[str, Any] = {}

    @property
    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "topic": self.topic.value,
            "partition": self.partition,
            "offset": self.offset,
            "appended": rfc3339(self.timestamp_ms),
            "account": self.account,
            "license": self.license,
            "name": self.name,
            "type": self.type,
            **self.more,
            "verdict": self.verdict,
            "why": self.why,
        }


class Teller(Protocol):
    """Tells of records, in their order."""

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """Return what is known of the records of one topic; a genesis is left out."""
        ...
