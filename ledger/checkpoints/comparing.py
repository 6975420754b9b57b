"""What a walk along the log found, beside what checkpoints and replicas know of it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from msgspec import Struct

from ledger.checkpoints.document import Checkpoint, Mark
from ledger.checkpoints.walk import Walk
from ledger.event_log.genesis import Genesis
from ledger.event_log.port import Topic


class Kind(StrEnum):
    """What is wrong with a partition, or with a replica's copy of it."""

    TRUNCATED = "truncated"
    DIFFERS = "differs"
    LOST = "lost"
    OF_ANOTHER_LEDGER = "of-another-ledger"
    GONE = "gone"
    REPLICA_AHEAD = "replica-ahead"
    REPLICA_DIFFERS = "replica-differs"
    REPLICA_AWAY = "replica-away"


class Known(Struct, frozen=True, kw_only=True):
    """What a witness (a checkpoint by its file, a replica by its name) knows of a partition."""

    witness: str
    mark: Mark


class Finding(Struct, frozen=True, kw_only=True):
    """What isn't as it was, and `said` for people.

    `witnesses`: who knows it otherwise. `partition` None: of the whole topic, of all topics where
    that is None. `end`: where the
    partition ends; `position`: up to where a witness knows it. The first record that is another one
    stands at an offset from `equal_to` on, below `position`.
    """

    kind: Kind
    said: str
    topic: Topic | None = None
    partition: int | None = None
    witnesses: tuple[str, ...] = ()
    end: int | None = None
    position: int | None = None
    equal_to: int | None = None


def foreign(checkpoint: Checkpoint, first: Genesis) -> str | None:
    """Why the checkpoint isn't one of the log that begins so; None where it is."""
    if checkpoint.ledger != first.ledger:
        return (
            f"it is of ledger {checkpoint.ledger}, and the log is ledger {first.ledger}'s: another "
            "ledger's checkpoint, or the log was replaced by another ledger's"
        )
    if checkpoint.partitions != first.partitions:
        return (
            f"it knows {checkpoint.partitions} partitions, and the log says that it has "
            f"{first.partitions}: the log was made anew"
        )
    if checkpoint.pepper_check != first.pepper_check:
        return "it was made under another pepper: the log was made anew"
    return None


def compare(walk: Walk, end: int, known: Iterable[Known], ledger: str | None) -> list[Finding]:
    """What isn't as the checkpoints know it, of a partition that ends at `end`.

    `ledger`: whose it should be; None where that isn't known.
    """
    known = sorted(known, key=lambda one: one.mark.position)
    found = [*_lost(walk, known), *_mixed(walk, ledger)]
    differing = [one for one in known if _differs(walk, one.mark)]
    equal_to = _equal_to(walk, known, differing)
    where = f"partition {walk.partition} of {walk.topic}"
    if differing:
        first = differing[0].mark
        found.append(
            Finding(
                kind=Kind.DIFFERS,
                said=f"edited or replaced: {where} differs from {differing[0].witness} "
                f"{_between(equal_to, first.position)}{_other_record(walk, first)}",
                topic=walk.topic,
                partition=walk.partition,
                witnesses=_names(differing),
                end=end,
                position=first.position,
                equal_to=equal_to,
            )
        )
    beyond = [one for one in known if one.mark.position > end]
    if beyond:
        last = beyond[-1]
        same = f"; before {equal_to} it is as it was" if equal_to and not differing else ""
        found.append(
            Finding(
                kind=Kind.TRUNCATED,
                said=f"truncated: {where} ends at {end}, {last.witness} knows "
                f"{last.mark.position}{same}",
                topic=walk.topic,
                partition=walk.partition,
                witnesses=_names(beyond),
                end=end,
                position=last.mark.position,
                equal_to=equal_to,
            )
        )
    return found


def compare_replica(walk: Walk, end: int, known: Known) -> Finding | None:
    """What a replica has of a partition that isn't in the log; None where all of it is."""
    where, mark = f"partition {walk.partition} of {walk.topic}", known.mark
    if mark.position > end:
        kind = Kind.REPLICA_AHEAD
        said = (
            f"{known.witness} has folded {where} to {mark.position}, and the log ends at {end}: "
            "records are lost, or it folded another log"
        )
    elif _differs(walk, mark):
        kind = Kind.REPLICA_DIFFERS
        said = (
            f"{known.witness} has folded another log: {where} differs "
            f"{_between(0, mark.position)}{_other_record(walk, mark)}"
        )
    else:
        return None
    return Finding(
        kind=kind,
        said=said,
        topic=walk.topic,
        partition=walk.partition,
        witnesses=(known.witness,),
        end=end,
        position=mark.position,
        equal_to=0,
    )


def gone(topic: Topic, why: str, witnesses: Iterable[str]) -> Finding:
    """A topic that isn't there, or has another number of partitions."""
    return Finding(kind=Kind.GONE, said=f"gone: {why}", topic=topic, witnesses=tuple(witnesses))


def away(replica: str, why: str) -> Finding:
    """A replica that can't be asked what it has folded."""
    said = f"{replica} can't be asked what it has folded: {why}"
    return Finding(kind=Kind.REPLICA_AWAY, said=said, witnesses=(replica,))


def _lost(walk: Walk, known: Sequence[Known]) -> list[Finding]:
    if walk.lost is None:
        return []
    beyond = [one for one in known if one.mark.position not in walk.found]
    said = f"lost: {walk.lost}"
    return [
        Finding(
            kind=Kind.LOST,
            said=said,
            topic=walk.topic,
            partition=walk.partition,
            witnesses=_names(beyond),
            equal_to=_equal_to(walk, known, []),
        )
    ]


def _mixed(walk: Walk, ledger: str | None) -> list[Finding]:
    if walk.ledger is None or ledger is None or walk.ledger == ledger:
        return []
    whose = f"belongs to ledger {walk.ledger}" if walk.ledger else "begins with no genesis record"
    said = f"another ledger's: partition {walk.partition} of {walk.topic} {whose}"
    return [
        Finding(kind=Kind.OF_ANOTHER_LEDGER, said=said, topic=walk.topic, partition=walk.partition)
    ]


def _differs(walk: Walk, mark: Mark) -> bool:
    if mark.position == walk.start.position and walk.is_other_at_start:
        return True
    found = walk.found.get(mark.position)
    return found is not None and found.chain != mark.chain


def _equal_to(walk: Walk, known: Iterable[Known], differing: Sequence[Known]) -> int:
    """The last position up to which all is as a witness knows it, below those that differ."""
    below = min((one.mark.position for one in differing), default=None)
    return max(
        (
            one.mark.position
            for one in known
            if one.mark.position in walk.found
            and not _differs(walk, one.mark)
            and (below is None or one.mark.position < below)
        ),
        default=0,
    )


def _between(equal_to: int, position: int) -> str:
    last = position - 1
    return f"from offset {equal_to} to {last}" if equal_to else f"at or before offset {last}"


def _other_record(walk: Walk, mark: Mark) -> str:
    found = walk.found.get(mark.position)
    other = found is not None and found.timestamp_ms != mark.timestamp_ms
    return f" (another record stands at {mark.position - 1})" if other else ""


def _names(known: Iterable[Known]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.witness for one in known))
