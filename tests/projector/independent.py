"""A fold that shares nothing with the projector's but the laws themselves: one record at a time.

Reads the whole log of a partition and writes every document after every record into one
dictionary, as slowly and plainly as it can be done. Whatever the projector did on its way (batches,
caches, crashes, replays), its replica must hold the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID

import redis
from msgspec.structs import replace

from ledger.domain.events import Event, Issued, Revoked, TermsChanged, Transferred
from ledger.domain.identifiers import Pepper
from ledger.domain.license import Folded, License, Loaded, Machine, fold
from ledger.domain.verdicts import Remembered, Verdict
from ledger.event_log.codec import decode
from projector.read_model.keys import tag
from projector.reading import LogRecord
from projector.views.digests import VIEW, Cut, Digests, digests_document
from projector.views.documents import (
    Head,
    head_document,
    license_document,
    machine_document,
    read_head,
    verdict_document,
)
from projector.views.set_aside import SetAside, set_aside_member
from tests.projector.weighing import PEPPER, digests_of

Stored = dict[str, bytes | dict[bytes, int]]
"""Strings and sorted sets by their key."""


@dataclass
class _Partition:
    number: int
    partitions: int
    licenses: dict[str, License] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    memory: dict[str, list[Remembered]] = field(default_factory=dict)
    stored: Stored = field(default_factory=dict)
    timestamp_ms: int | None = None
    elapsed_ms: int = 0
    chain: bytes = bytes(16)
    before_last: bytes = b""
    pepper: Pepper = PEPPER
    cut: Cut | None = None

    def name(self, kind: str, id_: str) -> str:
        return f"{{p{self.number:02d}}}:1:{kind}:{id_}"

    def sorted_set(self, kind: str, id_: str) -> dict[bytes, int]:
        members = self.stored.setdefault(self.name(kind, id_), {})
        assert isinstance(members, dict)
        return members


def independent_fold(
    log: Iterable[LogRecord],
    number: int,
    partitions: int,
    pepper: Pepper = PEPPER,
    *,
    discarded: Collection[int] = (),
) -> Stored:
    """All that a replica holds of a partition once it has folded `log` from its first record."""
    state = _Partition(number, partitions, pepper=pepper)
    position = 0
    for position, record in enumerate(log):
        assert record.offset == position
        _tick(state, record)
        if record.offset not in discarded:
            _take(state, record)
        if (position + 1) % 4096 == 0:
            state.cut = Cut(**_sums(state, position + 1), chain=state.chain.hex())
    if state.timestamp_ms is None:
        return {}
    head = Head(
        position=position + 1,
        timestamp_ms=state.timestamp_ms,
        elapsed_ms=state.elapsed_ms,
        chain=state.chain.hex(),
        before_last=state.before_last.hex(),
    )
    digests = Digests(**_sums(state, position + 1), cut=state.cut, view=VIEW)
    state.stored[f"{{p{number:02d}}}:1:digests"] = digests_document(digests)
    state.stored[f"{{p{number:02d}}}:1:head"] = head_document(head)
    state.stored[f"{{p{number:02d}}}:serving"] = b"1"
    return {name: value for name, value in state.stored.items() if value != {}}


def _sums(state: _Partition, position: int) -> dict[str, Any]:
    prefix = f"{{p{state.number:02d}}}:1:"
    sums = digests_of(state.stored, prefix, state.pepper)
    return {"position": position, "state": sums[0], "documents": sums[1]}


def stored_in_redis(url: str, number: int, generation: str = "1") -> Stored:
    """All that a Redis holds of a partition's fold; the head without its level-at.

    Of one generation; of another than the first with the names that it would have in that one.
    """
    found: Stored = {}
    with redis.Redis.from_url(url, socket_timeout=10) as server:
        for name in server.scan_iter(f"{tag(number)}:*", count=5000):
            text = name.decode()
            if ":D:" in text or text.endswith((":genesis", ":retry", ":retried")):
                continue
            if text.split(":")[1] not in {generation, "serving"}:
                continue
            if server.type(name) == b"zset":
                members = server.zrange(name, 0, -1, withscores=True)
                found[text] = {member: int(score) for member, score in members}
            else:
                value = server.get(name)
                assert isinstance(value, bytes)
                found[text] = value
    if generation != "1":
        assert found[f"{tag(number)}:serving"] == generation.encode()
        found[f"{tag(number)}:serving"] = b"1"
        named = f"{tag(number)}:{generation}:"
        found = {name.replace(named, f"{tag(number)}:1:"): value for name, value in found.items()}
    return level_apart(found, number)


def level_apart(stored: Stored, number: int) -> Stored:
    """The same without the head's level-at, the one thing that isn't the log's."""
    name = f"{tag(number)}:1:head"
    head = stored.get(name)
    if isinstance(head, bytes):
        return {**stored, name: head_document(replace(read_head(head), level_at_ms=0))}
    return stored


def head_after(log: Iterable[LogRecord]) -> Head:
    """Head of a partition after its records, level-at apart."""
    passed = _Partition(0, 1)
    position = 0
    for record in log:
        _tick(passed, record)
        position = record.offset + 1
    return Head(
        position=position,
        timestamp_ms=passed.timestamp_ms,
        elapsed_ms=passed.elapsed_ms,
        chain=passed.chain.hex(),
        before_last=passed.before_last.hex(),
    )


def _tick(state: _Partition, record: LogRecord) -> None:
    if state.timestamp_ms is not None:
        state.elapsed_ms += min(max(record.timestamp - state.timestamp_ms, 0), 10_000)
    state.timestamp_ms = record.timestamp
    digest = blake2b(digest_size=16)
    digest.update(state.chain)
    digest.update(record.offset.to_bytes(8, "big"))
    digest.update(record.timestamp.to_bytes(8, "big"))
    for part in (record.key, record.value):
        digest.update((-1 if part is None else len(part)).to_bytes(4, "big", signed=True))
        digest.update(part or b"")
    state.before_last, state.chain = state.chain, digest.digest()


def _take(state: _Partition, record: LogRecord) -> None:
    if record.key == b"genesis":
        return
    id_ = _license(state, record.key)
    if id_ is None:
        _set_aside(state, "unroutable", record)
        return
    license_ = state.licenses.get(id_)
    if license_ is not None and license_.frozen_at is not None:
        _set_aside(state, id_, record)
        return
    try:
        event = decode(record.key, record.value)
        folded = fold(event, record.offset, state.elapsed_ms, _loaded(state, event))
    except Exception:  # noqa: BLE001 - whatever it is, it is that record's
        _write_license(state, replace(license_ or License(id=id_), frozen_at=record.offset))
        state.sorted_set("Q", "frozen")[id_.encode()] = record.offset
        _set_aside(state, id_, record)
        return
    if folded.changed:
        _write(state, event, folded)


def _license(state: _Partition, key: bytes | None) -> str | None:
    try:
        text = (key or b"").decode("ascii")
        ours = UUID(text).int % state.partitions == state.number
        return text if ours and str(UUID(text)) == text else None
    except ValueError:
        return None


def _loaded(state: _Partition, event: Event) -> Loaded:
    return Loaded(
        license=state.licenses.get(event.license),
        machine=state.machines.get(getattr(event.data, "machine", "")),
        remembered=state.verdicts.get((event.license, event.id)),
        oldest=state.memory.get(event.license, [])[:8],
    )


def _write(state: _Partition, event: Event, folded: Folded) -> None:
    license_ = folded.license
    moved_from = state.licenses.get(license_.id)
    _write_license(state, license_)
    if folded.machine_changed:
        _write_machine(state, event, folded)
    if folded.remember:
        _remember(state, event, folded.verdict)
    for old in folded.forget:
        del state.stored[state.name("C", f"{license_.id}:{old.command}")]
        del state.sorted_set("K", license_.id)[f"{old.elapsed_ms}:{old.command}".encode()]
        del state.verdicts[license_.id, old.command]
        state.memory[license_.id].remove(old)
    if folded.verdict.code == "granted":
        _list(state, event, license_, moved_from)


def _list(state: _Partition, event: Event, license_: License, before: License | None) -> None:
    member = license_.id.encode()
    if isinstance(event.data, Transferred | Revoked):
        assert before is not None
        del state.sorted_set("P", before.policy)[member]
        del state.sorted_set("V", before.policy)[member]
    if isinstance(event.data, Revoked):
        del state.sorted_set("A", license_.account)[member]
    if isinstance(event.data, Issued):
        state.sorted_set("A", license_.account)[member] = license_.issued_ms
    if isinstance(event.data, Issued | Transferred):
        state.sorted_set("P", license_.policy)[member] = license_.issued_ms
    if isinstance(event.data, Issued | Transferred | TermsChanged):
        state.sorted_set("V", license_.policy)[member] = license_.policy_version


def _write_license(state: _Partition, license_: License) -> None:
    state.licenses[license_.id] = license_
    state.stored[state.name("L", license_.id)] = license_document(license_)


def _write_machine(state: _Partition, event: Event, folded: Folded) -> None:
    machine, license_ = folded.machine, folded.license
    if machine is not None:
        member = f"{machine.fingerprint_digest}:{machine.id}".encode()
        state.machines[machine.id] = machine
        state.stored[state.name("M", machine.id)] = machine_document(machine)
        state.sorted_set("I", license_.id)[machine.id.encode()] = machine.activated_offset
        state.sorted_set("F", license_.account)[member] = 0
        state.sorted_set("T", license_.account)[machine.id.encode()] = machine.activated_ms
        return
    gone = state.machines.pop(getattr(event.data, "machine", ""))
    del state.stored[state.name("M", gone.id)]
    del state.sorted_set("I", license_.id)[gone.id.encode()]
    del state.sorted_set("T", license_.account)[gone.id.encode()]
    del state.sorted_set("F", license_.account)[f"{gone.fingerprint_digest}:{gone.id}".encode()]


def _remember(state: _Partition, event: Event, verdict: Verdict) -> None:
    state.verdicts[event.license, event.id] = verdict
    state.memory.setdefault(event.license, []).append(
        Remembered(offset=verdict.offset, elapsed_ms=state.elapsed_ms, command=event.id)
    )
    state.stored[state.name("C", f"{event.license}:{event.id}")] = verdict_document(verdict)
    member = f"{state.elapsed_ms}:{event.id}".encode()
    state.sorted_set("K", event.license)[member] = verdict.offset


def _set_aside(state: _Partition, under: str, record: LogRecord) -> None:
    waiting = SetAside(
        offset=record.offset,
        timestamp_ms=record.timestamp,
        elapsed_ms=state.elapsed_ms,
        key=record.key,
        value=record.value,
    )
    state.sorted_set("Q", under)[set_aside_member(waiting)] = record.offset
