"""Which code this is: its version, and a digest of what a fold's result hangs on.

Two builds of one version may fold otherwise; so what was rehearsed, or half built, by one of them
says nothing of the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Final

FOLD: Final = (
    "ledger/domain",
    "ledger/event_log",
    "projector/catalog_folding.py",
    "projector/catalog_reading.py",
    "projector/changes.py",
    "projector/folding.py",
    "projector/loaded.py",
    "projector/read_model",
    "projector/reading.py",
    "projector/rebuild/bulk.py",
    "projector/rebuild/rendering.py",
    "projector/rehearsal",
    "projector/views",
    "projector/writes.py",
)
"""Modules, and packages with all that is in them, that the fold is made of."""
_ROOT: Final = Path(__file__).parents[1]
_DIGEST_BYTES: Final = 6


@cache
def release() -> str:
    """Version of this software, and which build of it: `0.1.0+0123456789ab`."""
    return f"{version('license-ledger')}+{digest(_ROOT)}"


def digest(root: Path) -> str:
    """Digest of the sources of the fold that lie in a folder."""
    found = blake2b(digest_size=_DIGEST_BYTES)
    for file in _sources(root):
        content = file.read_bytes()
        found.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for name in FOLD:
        path = root / name
        if path.is_file():
            yield path
        else:
            yield from sorted(one for one in path.rglob("*") if one.suffix in {".py", ".lua"})
