"""What a generation takes in its Redis, from a sample of its keys.

Lists are weighed by their members: the list of a sampled machine, say, divided by its length. So a
license with a hundred thousand machines counts for what it is, however seldom it is met.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import Struct

from projector.read_model.keys import CATALOG, Keys, tag
from projector.rebuild.store import Store
from projector.views.documents import read_license, read_machine

SAMPLED: Final = 1_500
"""Licenses, machines and verdicts looked at, each."""
NAMES_MAX: Final = 200_000
"""Names looked at, where some of these are rare."""
_PIECE: Final = 250
_BUCKET_BYTES: Final = 8
_SHARED: Final = frozenset("LMCKIAPVFT")
"""Kinds that are weighed with licenses, machines and verdicts; others are few, or none."""
_WRITTEN: Final = {"L": 3 * 70, "M": 2 * 70 + 120, "C": 80}
"""Bytes in the file of the members of lists that come with a key, as commands."""
_COMMAND: Final = 20


class Sampled(Struct, frozen=True, kw_only=True):
    """How many keys a generation has, of these licenses, machines and verdicts; and its bytes.

    `file_bytes`: of the commands that write it.
    """

    keys: int
    licenses: int
    machines: int
    verdicts: int
    bytes: int
    file_bytes: int


class Sampling:
    """Samples one generation of some places."""

    def __init__(self, store: Store, generation: str, places: Sequence[int]) -> None:
        self._store = store
        self._keys = {tag(place): Keys(place, generation) for place in places}
        self._generation = generation.encode()
        self._lists: dict[str, float] = {}

    async def run(self) -> Sampled:
        """Look at a part of all keys. Raises `ReadModelUnavailableError`."""
        total = await self._store.size()
        counts, found, named = await self._names()
        scale = total / max(1, named)
        kinds = {kind: round(count * scale) for kind, count in counts.items()}
        grown = file = 0.0
        for kind, lists in (("L", self._of_license), ("M", self._of_machine), ("C", self._of_c)):
            names = found[kind]
            if not names:
                continue
            weights = await self._weights(names)
            beside = [await lists(piece) for piece in _pieces(names)]
            each = (sum(weights) + sum(beside)) / len(names)
            grown += kinds[kind] * each
            file += kinds[kind] * (await self._written(names) + _WRITTEN[kind])
        for kind, names in found.items():
            if kind not in _SHARED:
                each = sum(await self._weights(names)) / len(names)
                grown += kinds[kind] * each
                file += kinds[kind] * each
        keys = sum(kinds.values())
        grown += _BUCKET_BYTES * (_buckets(total + keys) - _buckets(total))
        return Sampled(
            keys=keys,
            licenses=kinds.get("L", 0),
            machines=kinds.get("M", 0),
            verdicts=kinds.get("C", 0),
            bytes=round(grown),
            file_bytes=round(file),
        )

    async def _names(self) -> tuple[Counter[str], dict[str, list[str]], int]:
        """Count keys by kind, and keep some names of the main ones; how many were looked at."""
        counts: Counter[str] = Counter()
        found: dict[str, list[str]] = defaultdict(list)
        named = 0
        async with aclosing(self._store.scanned()) as pieces:
            async for names in pieces:
                named += len(names)
                for name in names:
                    parts = name.split(b":", 3)
                    if len(parts) < 4 or parts[1] != self._generation:  # noqa: PLR2004
                        continue
                    kind = parts[2].decode()
                    counts[kind] += 1
                    if len(found[kind]) < SAMPLED:
                        found[kind].append(name.decode())
                if named >= NAMES_MAX or all(len(found[kind]) >= SAMPLED for kind in "LMC"):
                    break
        return counts, found, named

    async def _written(self, names: Sequence[str]) -> float:
        """Bytes in the file of a key and its value."""
        written = 0
        for piece in _pieces(names):
            documents = await self._store.get(piece)
            written += sum(
                len(name) + len(one or b"") for name, one in zip(piece, documents, strict=True)
            )
        return _COMMAND + written / len(names)

    async def _of_license(self, names: Sequence[str]) -> float:
        """Bytes of the lists that licenses are in: their share of each."""
        share = 0.0
        for name, document in zip(names, await self._store.get(names), strict=True):
            if document is None:
                continue
            license_, keys = read_license(document), self._keys[name.partition(":")[0]]
            if license_.status == "live" and keys.partition != CATALOG:
                share += await self._share(
                    keys.licenses_of_account(license_.account),
                    keys.licenses_of_policy(license_.policy),
                    keys.licenses_by_version(license_.policy),
                )
        return share

    async def _of_machine(self, names: Sequence[str]) -> float:
        share = 0.0
        documents = await self._store.get(names)
        machines = [
            (self._keys[name.partition(":")[0]], read_machine(document))
            for name, document in zip(names, documents, strict=True)
            if document is not None
        ]
        licenses = await self._store.get([keys.license(one.license) for keys, one in machines])
        for (keys, machine), document in zip(machines, licenses, strict=True):
            account = "" if document is None else read_license(document).account
            share += await self._share(
                keys.machines_of_license(machine.license),
                keys.machines_by_fingerprint(account),
                keys.machines_of_account(account),
            )
        return share

    async def _of_c(self, names: Sequence[str]) -> float:
        """Bytes of the memories that verdicts are in: their share of each."""
        share = 0.0
        for name in names:
            tag_, _, _, owner, _ = name.split(":", 4)
            share += await self._share(self._keys[tag_].commands(owner))
        return share

    async def _share(self, *lists: str) -> float:
        """Bytes that one member takes, of all these lists together."""
        unknown = [name for name in lists if name not in self._lists]
        if unknown:
            lengths, weights = await self._store.lengths(unknown), await self._weights(unknown)
            for name, length, weight in zip(unknown, lengths, weights, strict=True):
                self._lists[name] = weight / max(1, length)
        return sum(self._lists[name] for name in lists)

    async def _weights(self, names: Sequence[str]) -> list[int]:
        weights: list[int] = []
        for piece in _pieces(names):
            weights += await self._store.weights(piece)
        return weights


def _pieces(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[at : at + _PIECE] for at in range(0, len(names), _PIECE))


def _buckets(keys: int) -> int:
    """Buckets of a table of so many keys: a power of two."""
    return 1 << max(2, (keys - 1).bit_length())
