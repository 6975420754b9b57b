"""Lists of 100,000 licenses: the first page beside a hello, and the hundredth beside the first."""

from __future__ import annotations

import asyncio

from bench.figures import Row, compare
from bench.load import Load, load
from bench.system import Bench
from ledger.domain.identifiers import license_id
from ledger.domain.terms import Terms
from ledger.event_log.kafka import KafkaLog
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.sealer import Sealer
from tests.filling import SEALED, fill, issues, key_of, whose
from tests.system import TOKEN
from tests.vendor import Vendor

PATH = "/v1/licenses?page[number]={number}&page[size]=100"
COUNT = 100_000
OPENED = range(9_600, 10_000)
"""Licenses that the hundredth page is among: with keys that are opened, as the first page's are."""
AT_ONCE = 100
OK = 200
_LEDGERS: set[str] = set()
"""Those that are filled already."""


def list_first_100k(bench: Bench) -> Row:
    """First pages of 100 licenses a second, of 64 clients, beside hellos a second."""
    _filled(bench)
    slowest: list[float] = []

    def ours() -> float:
        got = _list(bench, 1, connections=64)
        slowest.append(got.p99_ms)
        return got.per_s

    return compare(
        "list_first_100k",
        ours=ours,
        baseline=lambda: load(bench.hello.url, "/", ["{}"], expect=OK).per_s,
        unit="requests/s",
        bar="",
        note=lambda: f"100 licenses a page, p99 {max(slowest):.0f} ms at full load",
    )


def list_hundredth_vs_first_100k(bench: Bench) -> Row:
    """p50 of one client that asks for the hundredth page, beside one that asks for the first."""
    _filled(bench)
    return compare(
        "list_hundredth_vs_first_100k",
        ours=lambda: _list(bench, 100, connections=1).p50_ms,
        baseline=lambda: _list(bench, 1, connections=1).p50_ms,
        unit="ms p50",
        bar="≤ 2",
    )


def _list(bench: Bench, number: int, *, connections: int) -> Load:
    path = PATH.format(number=number).replace("[", "%5B").replace("]", "%5D")
    return load(bench.url, path, [], expect=OK, token=TOKEN, connections=connections)


def _filled(bench: Bench) -> None:
    """Have the licenses folded by both projectors; once for both rows."""
    if bench.system.ledger not in _LEDGERS:
        _LEDGERS.add(bench.system.ledger)
        asyncio.run(_fill(bench))
        bench.system.wait_level()


async def _fill(bench: Bench) -> None:
    system = bench.system
    of = whose(system, Vendor([], system.ledger).policy)
    ids = {number: license_id(of.pepper, of.account, key_of(of, number)) for number in OPENED}
    log = KafkaLog(system.settings.kafka)
    sealed: dict[int, str] = {}
    try:
        sealer = _sealer(bench, log)

        async def seal(number: int) -> None:
            data_key = await sealer.data_key_for_new(of.account, ids[number])
            sealed[number] = data_key.seal(of.account, ids[number], key_of(of, number))

        for first in range(OPENED.start, OPENED.stop, AT_ONCE):
            await asyncio.gather(*(seal(number) for number in range(first, first + AT_ONCE)))
    finally:
        await log.close()
    terms = Terms(max_machines=1)
    await fill(
        system,
        issues(of, COUNT, terms=terms, sealed=lambda _, number: sealed.get(number, SEALED)),
    )


async def _unknown(license_: str, dk: str) -> bytes | None:
    """Find no data key: all of these are new."""


def _sealer(bench: Bench, log: KafkaLog) -> Sealer:
    settings = bench.system.settings
    return Sealer(
        ring=KeyRing(settings.seal_keys),
        log=log,
        partitions=settings.partitions,
        stored=_unknown,
    )
