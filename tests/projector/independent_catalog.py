"""The catalog folded one record at a time: what a replica must hold of it, whatever happened."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.identifiers import Pepper
from ledger.event_log.catalog_codec import decode_catalog
from projector.reading import LogRecord
from projector.views.catalog import catalog_verdict_document
from projector.views.digests import VIEW, Digests, digests_document
from projector.views.documents import head_document
from tests.ledger.domain.catalog.replica import CatalogReplica
from tests.projector.independent import Stored, head_after
from tests.projector.weighing import PEPPER, digests_of

_PREFIX = "{catalog}:1:"


def independent_catalog(log: Sequence[LogRecord], pepper: Pepper = PEPPER) -> Stored:
    """All that a replica holds of the catalog once it has folded `log` from its first record."""
    replica = CatalogReplica()
    for record in log:
        replica.tick(record.timestamp)
        if record.key == b"genesis":
            replica.offset += 1
        else:
            replica.take(decode_catalog(record.key, record.value))
    found: Stored = {
        "{catalog}:serving": b"1",
        f"{_PREFIX}head": head_document(head_after(log)),
        **{f"{_PREFIX}E:{id_}": document for id_, document in replica.documents.items()},
        **{f"{_PREFIX}U:{name}": holder.encode() for name, holder in replica.claims.items()},
    }
    found |= _lists(replica) | _memory(replica)
    state, documents = digests_of(found, _PREFIX, pepper)
    digests = Digests(position=len(log), state=state, documents=documents, view=VIEW)
    found[f"{_PREFIX}digests"] = digests_document(digests)
    return found


def _lists(replica: CatalogReplica) -> Stored:
    lists: dict[str, dict[bytes, int]] = {}
    for entity in replica.entities():
        kind = type(entity).__name__.lower()
        account = RULES_ID if kind == "account" else entity.account
        members = lists.setdefault(f"{_PREFIX}N:{account}:{kind}", {})
        members[entity.id.encode()] = entity.offset
    return {**lists}


def _memory(replica: CatalogReplica) -> Stored:
    found: Stored = {}
    for scope, kept in replica.memory.items():
        found[f"{_PREFIX}S:{scope}"] = b'{"commands":%d}' % len(kept)
        found[f"{_PREFIX}K:{scope}"] = {
            f"{one.elapsed_ms}:{one.command}".encode(): one.offset for one in kept
        }
    for (scope, command), verdict in replica.verdicts.items():
        found[f"{_PREFIX}C:{scope}:{command}"] = catalog_verdict_document(verdict)
    return found
