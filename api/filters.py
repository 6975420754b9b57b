"""Filters of lists: what their values have to be. Pure.

A value that nothing can ever have is refused by its parameter's name: an empty page would look as
if there were no such entries. A value that something might have gives an empty page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from api.listing import METADATA
from api.problems import Problem, malformed
from ledger.domain.events import SECRET_BYTES_MAX
from ledger.domain.identifiers import is_id

IDS: Final = frozenset({"policy", "product", "bearer[id]"})
_SECRETS: Final = frozenset({"license", "key", "fingerprint"})
"""An id or a key, a key, a fingerprint: texts of 1 to 512 bytes."""
_WORD: Final = re.compile(r"[A-Za-z_-]{1,32}")
"""What is quoted of a value: a key, a fingerprint and a token hold digits, or are longer."""


def check_filters(
    filters: Mapping[str, str], words: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Check the values of filters, by their names. Raises a 400 `Problem` that names one.

    `words`: names of filters that take one of a few words, and these words.
    """
    accepted = words or {}
    for name, value in filters.items():
        if name in IDS and not is_id(value.lower()):
            raise _invalid(name, f"{name} is an id, a UUID: send one, or leave {name} out.")
        if name in accepted and value.upper() not in {word.upper() for word in accepted[name]}:
            raise _no_such_word(name, value, accepted[name])
        if name in _SECRETS and not 1 <= len(value.encode()) <= SECRET_BYTES_MAX:
            raise _invalid(name, f"{name} has 1 to {SECRET_BYTES_MAX} bytes in UTF-8.")
        if name.startswith(METADATA.rstrip("[")) and not _names_one(name):
            raise _invalid(
                name, "Metadata is filtered by one of its names: send metadata[name]=value."
            )


def _names_one(name: str) -> bool:
    """Whether a filter of metadata has one name in its brackets: none of what is nested."""
    inner = name[len(METADATA) : -1]
    return bool(inner) and "][" not in inner


def _no_such_word(name: str, value: str, words: Sequence[str]) -> Problem:
    shown = f"{value} is not one of them" if _WORD.fullmatch(value) else "this is none of them"
    return _invalid(name, f"{name} is one of {', '.join(words)}: {shown}.")


def _invalid(name: str, detail: str) -> Problem:
    return malformed("PARAMETER_INVALID", detail, {"parameter": name[:64]})
