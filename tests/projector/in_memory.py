"""The projector's fold on the read model in memory, without a broker: load, fold, apply."""

from __future__ import annotations

from collections.abc import Sequence

from projector.folding import elapsed_after, fold_batch
from projector.loaded import Documents
from projector.read_model.keys import Keys, tag
from projector.read_model.memory import MemoryReadModel
from projector.reading import LogRecord, Reader
from projector.views.digests import digests_at
from projector.views.documents import Head, read_head
from tests.projector.independent import Stored, level_apart
from tests.projector.weighing import WEIGHER


async def project(
    model: MemoryReadModel,
    log: Sequence[LogRecord],
    *,
    partition: int = 0,
    partitions: int = 1,
    documents: Documents | None = None,
    careful: bool = False,
) -> int:
    """Fold one run of records from the stored head on, through as many batches as it takes."""
    names = Keys(partition)
    documents = documents or Documents(names, WEIGHER)
    reading = Reader(partition, partitions).read(log)
    documents.begin()
    position = head_of(model, partition).position
    documents.digests = digests_at(position, model.strings.get(names.digests))
    documents.take(reading, await model.get(documents.missing(reading)))
    elapsed_ms = elapsed_after(reading.entries, head_of(model, partition))
    wanted = documents.fronts(reading, elapsed_ms)
    while wanted:
        sets = {names.commands(id_): count for id_, count in wanted.items()}
        documents.take_fronts(wanted, await model.fronts(sets))
        wanted = documents.more_fronts(reading, elapsed_ms)
    due = documents.due(reading, elapsed_ms)
    documents.take_due(due, await model.get([names.command(*name) for name in due]))
    batches = 0
    entries = reading.entries
    while entries:
        folding = fold_batch(entries, head_of(model, partition), documents, names, careful=careful)
        assert await model.apply(folding.batch) is None
        entries = entries[folding.taken :]
        batches += 1
    return batches


def head_of(model: MemoryReadModel, partition: int) -> Head:
    document = model.strings.get(Keys(partition).head)
    return Head() if document is None else read_head(document)


def stored_in_memory(model: MemoryReadModel, partition: int) -> Stored:
    found: Stored = {**model.strings, **model.sorted_sets}
    return level_apart(
        {name: value for name, value in found.items() if name.startswith(tag(partition))},
        partition,
    )
