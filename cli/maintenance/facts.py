"""What is asked of a server and its disks before a REINDEX is planned. Sizes in bytes."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class IndexFacts(Struct, frozen=True, kw_only=True):
    """An index as it is. `entry_bytes`: of one entry, its header included, by a sample.

    `keys`: different ones, by Postgres' statistics. `leaf_pages`, `leaf_density` (percent): by
    pgstatindex. `sample_s`: what it took to sort `sampled` of its rows. None: not known.
    """

    oid: int
    name: str
    method: str
    bytes: int
    rows: float
    unique: bool
    valid: bool
    tablespace: int
    fillfactor: int = 90
    entry_bytes: float | None = None
    keys: float | None = None
    leaf_pages: int | None = None
    leaf_density: float | None = None
    sample_s: float | None = None
    sampled: float = 0


class Slot(Struct, frozen=True, kw_only=True):
    """A replication slot, and the WAL that it retains."""

    name: str
    active: bool
    retained_bytes: int


class WalFacts(Struct, frozen=True, kw_only=True):
    """The WAL.

    `recycled_bytes`: of segments that wait to be written over, and what the present one still
    takes; None: can't be seen.

    `slots_keep_bytes`: at most so much is kept for slots; None: everything. `archiver`: what is
    wrong with it; empty where nothing is, or nothing is archived.
    """

    segment_bytes: int
    max_bytes: int
    keep_bytes: int
    recycled_bytes: int | None
    slots: Sequence[Slot]
    slots_keep_bytes: int | None
    archiver: str


class Holder(Struct, frozen=True, kw_only=True):
    """A session that has, or waits for, a lock that REINDEX must wait for.

    `pid` None: a prepared transaction. `age_s` of its transaction; None: can't be seen.
    """

    pid: int | None
    who: str
    age_s: float | None
    relation: str
    mode: str
    waiting: bool


class Place(Struct, frozen=True, kw_only=True):
    """A file system that a REINDEX writes to; `tablespaces`: of indexes, by oid.

    `free_bytes`: for who isn't root. `total_bytes` None: only what is free was told.
    """

    path: str
    total_bytes: int | None
    free_bytes: int
    tablespaces: Sequence[int]
    sorts: bool
    wal: bool


class Facts(Struct, frozen=True, kw_only=True):
    """All of it. `workers`: that build a B-tree beside the leader; `places` empty: unknown.

    `no_places`: why the file systems can't be seen, and what to do about it.
    """

    table: str
    server: str
    version: str
    page_bytes: int
    table_bytes: int
    rows: float
    memory_bytes: int
    workers: int
    indexes: Sequence[IndexFacts]
    wal: WalFacts
    holders: Sequence[Holder]
    places: Sequence[Place]
    no_places: str
    unknown: Sequence[str]
