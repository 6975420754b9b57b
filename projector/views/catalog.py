"""Documents of the catalog: an entity is one line of JSON; pure and deterministic."""

from __future__ import annotations

from typing import Final

import msgspec

from ledger.domain.catalog.entities import AnyEntity

_encoder: Final = msgspec.json.Encoder(order="sorted")
_entities: Final[msgspec.json.Decoder[AnyEntity]] = msgspec.json.Decoder(AnyEntity)


def entity_document(entity: AnyEntity) -> bytes:
    """Stored form of an entity."""
    return _encoder.encode(entity)


def read_entity(document: bytes) -> AnyEntity:
    """Entity of its stored form."""
    return _entities.decode(document)
