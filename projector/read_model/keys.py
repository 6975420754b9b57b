"""Names of what a replica stores (docs/format.md, "State in Redis").

All keys of a partition share its hash tag, so a replica can be one Redis or a Redis Cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final

FIRST_GENERATION: Final = "1"
CATALOG: Final = -1
"""In place of a license partition: the one partition of `catalog-events`."""

UNROUTABLE: Final = "unroutable"
"""In place of a license: records set aside whose key is no license id."""

FROZEN: Final = "frozen"
"""In place of a license: the frozen licenses, score is the offset of the record that froze them."""


@cache
def tag(partition: int) -> str:
    """Hash tag that all keys of a partition share."""
    return "{catalog}" if partition == CATALOG else f"{{p{partition:02d}}}"


@cache
def serving(partition: int) -> str:
    """Pointer to the generation that serves."""
    return f"{tag(partition)}:serving"


def genesis(partition: int) -> str:
    """The partition's genesis record, so that a process can start while Kafka is away."""
    return f"{tag(partition)}:genesis"


def retry_order(partition: int) -> str:
    """What a person has asked to be folded again (`projector.retry_orders`); gone after a while."""
    return f"{tag(partition)}:retry"


def retry_answer(partition: int) -> str:
    """What became of the last such order."""
    return f"{tag(partition)}:retried"


def positions(partition: int) -> str:
    """Channel of applied batches: `<from> <to>` then the changed ids, spaces between."""
    return f"{tag(partition)}:positions"


def data_key(partition: int, license_: str, dk: str) -> str:
    """A sealed data key, outside the generations; an empty value says that it was erased."""
    return f"{tag(partition)}:D:{license_}:{dk}"


def data_keys_position(partition: int) -> str:
    """Offset up to which the partition's data keys were taken over."""
    return f"{tag(partition)}:D:position"


def serving_of(key: str) -> str:
    """Pointer to the generation that serves in the partition of a key."""
    return f"{key.partition(':')[0]}:serving"


def in_generation(key: str, generations: Mapping[str, str]) -> str:
    """Name that a key of the first generation has in another one.

    `generations`: by the name of their pointer. What is in no generation stays as it is.
    """
    tag_, made_for, rest = key.split(":", 2)
    if made_for != FIRST_GENERATION:
        return key
    return f"{tag_}:{generations.get(serving_of(key), made_for)}:{rest}"


@lru_cache(maxsize=16_384)
def names_of(partition: int, generation: str) -> Keys:
    """Key names of a partition in a generation, made once."""
    return Keys(partition, generation)


class Keys:
    """Key names of one partition in one generation."""

    __slots__ = ("digests", "generation", "head", "partition", "prefix", "serving")

    def __init__(self, partition: int, generation: str = FIRST_GENERATION) -> None:
        self.prefix = f"{tag(partition)}:{generation}:"
        self.partition = partition
        self.generation = generation
        self.head = self.prefix + "head"
        self.digests = self.prefix + "digests"
        self.serving = serving(partition)

    def short(self, key: str) -> str:
        """Name of a key without its partition and generation."""
        return key[len(self.prefix) :]

    def entity(self, id_: str) -> str:
        """One entity of the catalog."""
        return f"{self.prefix}E:{id_}"

    def claim(self, name: str) -> str:
        """Who holds what is unique in the catalog; the value is the entity's id."""
        return f"{self.prefix}U:{name}"

    def entities(self, account: str, kind: str) -> str:
        """Sorted set of the ids of an account's entities of one kind: score offset of creation."""
        return f"{self.prefix}N:{account}:{kind}"

    def scope(self, scope: str) -> str:
        """How many commands of an actor in an account the catalog remembers."""
        return f"{self.prefix}S:{scope}"

    def license(self, license_: str) -> str:
        """The license's document."""
        return f"{self.prefix}L:{license_}"

    def machine(self, machine: str) -> str:
        """One machine."""
        return f"{self.prefix}M:{machine}"

    def command(self, license_: str, command: str) -> str:
        """One remembered verdict."""
        return f"{self.prefix}C:{license_}:{command}"

    def commands(self, license_: str) -> str:
        """Sorted set of remembered commands: score offset, member `elapsed:command`."""
        return f"{self.prefix}K:{license_}"

    def machines_of_license(self, license_: str) -> str:
        """Sorted set of machine ids: score is the offset of the activation."""
        return f"{self.prefix}I:{license_}"

    def licenses_of_account(self, account: str) -> str:
        """Sorted set of license ids: score is the time of the issue in milliseconds."""
        return f"{self.prefix}A:{account}"

    def licenses_of_policy(self, policy: str) -> str:
        """Sorted set of license ids: score is the time of the issue in milliseconds."""
        return f"{self.prefix}P:{policy}"

    def licenses_by_version(self, policy: str) -> str:
        """Sorted set of license ids: score is the version of the policy's terms that they have."""
        return f"{self.prefix}V:{policy}"

    def machines_by_fingerprint(self, account: str) -> str:
        """Sorted set, all scores 0, member `fingerprint digest:machine id`."""
        return f"{self.prefix}F:{account}"

    def machines_of_account(self, account: str) -> str:
        """Sorted set of machine ids: score is the time of the activation in milliseconds."""
        return f"{self.prefix}T:{account}"

    def set_aside(self, license_: str) -> str:
        """Sorted set of records set aside: score offset, member `timestamp:elapsed:record`."""
        return f"{self.prefix}Q:{license_}"
