"""A big, realistic history of a license ledger, written straight into Kafka; the same by its seed.

`write` fills an empty ledger, `key_of` names any license that it ever issued, `History.expected`
says what a check of it must answer. README.md has how to run it.
"""

from __future__ import annotations

from bench.history.expected import Expected
from bench.history.history import History
from bench.history.plans import Whose, fingerprint_of, key_of
from bench.history.shapes import SHAPES, Shape, Size
from bench.history.writing import NotEmptyError, begin, write

__all__ = [
    "SHAPES",
    "Expected",
    "History",
    "NotEmptyError",
    "Shape",
    "Size",
    "Whose",
    "begin",
    "fingerprint_of",
    "key_of",
    "write",
]
