"""Documents of the catalog: each is one line of JSON; pure and deterministic."""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.domain.catalog.entities import AnyEntity
from ledger.domain.catalog.verdicts import CatalogVerdict, Scope

_encoder: Final = msgspec.json.Encoder(order="sorted")
_entities: Final[msgspec.json.Decoder[AnyEntity]] = msgspec.json.Decoder(AnyEntity)
_verdicts: Final = msgspec.json.Decoder(CatalogVerdict)
_scopes: Final = msgspec.json.Decoder(Scope)


def entity_document(entity: AnyEntity) -> bytes:
    """Stored form of an entity."""
    return _encoder.encode(entity)


def read_entity(document: bytes) -> AnyEntity:
    """Entity of its stored form."""
    return _entities.decode(document)


def catalog_verdict_document(verdict: CatalogVerdict) -> bytes:
    """Stored form of a remembered verdict."""
    return _encoder.encode(verdict)


def read_catalog_verdict(document: bytes) -> CatalogVerdict:
    """Verdict of its stored form."""
    return _verdicts.decode(document)


def scope_document(scope: Scope) -> bytes:
    """Stored form of how many commands a memory holds."""
    return _encoder.encode(scope)


def read_scope(document: bytes) -> Scope:
    """Scope of its stored form."""
    return _scopes.decode(document)
