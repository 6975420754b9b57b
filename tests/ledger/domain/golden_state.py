"""What a log folds to, as text to compare: a line a verdict, a line a stored key."""

from __future__ import annotations

import json

from ledger.domain.verdicts import Verdict
from ledger.event_log.codec import UndecodableError, decode
from ledger.event_log.port import Record
from projector.read_model.memory import MemoryReadModel
from projector.views.documents import verdict_document
from tests.ledger.domain.golden_files import LogView
from tests.ledger.domain.replica import Replica
from tests.projector.in_memory import project


def verdicts_of(log: list[Record]) -> list[tuple[int, Verdict]]:
    """Offset and verdict of each event of a log, by the fold alone; poison is passed over."""
    replica, found = Replica(), []
    for record in log:
        replica.tick(record.timestamp_ms)
        try:
            event = decode(record.key, record.value)
        except UndecodableError:
            replica.offset += 1
        else:
            found.append((record.offset, replica.take(event)))
    return found


def verdict_lines(log: list[Record]) -> str:
    """Give a line an event: its offset, a space, its verdict's stored form."""
    return "".join(
        f"{offset} {verdict_document(verdict).decode()}\n" for offset, verdict in verdicts_of(log)
    )


def state_lines(model: MemoryReadModel) -> str:
    """Give a line a stored key, in the order of their names."""
    lines: dict[str, dict[str, object]] = {
        key: {"key": key, "value": value.decode()} for key, value in model.strings.items()
    }
    for key, members in model.sorted_sets.items():
        scored = [[member.decode(), score] for member, score in members.items()]
        lines[key] = {
            "key": key,
            "members": sorted(scored, key=lambda entry: (entry[1], entry[0])),
        }
    return "".join(as_line(lines[key]) for key in sorted(lines))


async def replica_of(log: list[Record]) -> MemoryReadModel:
    """Fold a log into an empty replica as the projector does."""
    model = MemoryReadModel()
    await project(model, [LogView(record) for record in log])
    return model


def as_line(content: object) -> str:
    """One line of JSON."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
