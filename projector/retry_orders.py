"""Orders to fold what waits again: laid into a replica by a person's command, answered there.

An order is for one partition of one replica; what folds the generation that serves answers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

KEPT_S: Final = 600
"""An order that nobody has taken is gone after this time."""


class RetryOrder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fold again what waits of a license; None: of all that are frozen in the partition."""

    id: str
    license: str | None = None


class RetryAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the order `id`: licenses that stay frozen, and the record each stands before.

    `release`: of the software that has tried.
    """

    id: str
    release: str
    frozen: Mapping[str, int] = {}


_encoder: Final = msgspec.json.Encoder(order="sorted")
_orders: Final = msgspec.json.Decoder(RetryOrder)
_answers: Final = msgspec.json.Decoder(RetryAnswer)


def retry_document(value: RetryOrder | RetryAnswer) -> bytes:
    """Stored form of an order or an answer."""
    return _encoder.encode(value)


def read_order(document: bytes | None) -> RetryOrder | None:
    """Order of its stored form; None of nothing, or of what is no order."""
    try:
        return None if document is None else _orders.decode(document)
    except msgspec.DecodeError:
        return None


def read_answer(document: bytes | None) -> RetryAnswer | None:
    """Answer of its stored form; None of nothing, or of what is no answer."""
    try:
        return None if document is None else _answers.decode(document)
    except msgspec.DecodeError:
        return None
