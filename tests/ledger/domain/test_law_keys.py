"""Law of cost: an event writes at most 16 keys, however much its license has grown.

The digests come with them, once a batch.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.domain.events import (
    DenialImported,
    Event,
    EventData,
    MachineChanged,
    Revoked,
    Suspended,
    Transferred,
)
from ledger.domain.license import MEMORY_MS
from ledger.domain.terms import Terms
from ledger.event_log.codec import encode
from ledger.event_log.port import Record
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import EVENT_KEYS_MAX
from projector.views.documents import head_document, read_license
from tests.ledger.domain.given import (
    LICENSE,
    NOW_MS,
    PRODUCT,
    activation,
    asked,
    deactivation,
    imported,
    issued,
    machine_of,
)
from tests.ledger.domain.golden_files import LogView
from tests.projector.in_memory import head_of, project

HEAD, LICENSE_, MACHINE, VERDICT, MEMORY, FORGOTTEN = 2, 1, 1, 1, 1, 8
"""The first: head and digests."""
DIGESTS = 1
LISTS, MACHINE_LISTS, MOVED = 3, 3, 4

REQUESTS: dict[str, tuple[EventData, int]] = {
    "activation": (
        activation("host-new"),
        HEAD + LICENSE_ + MACHINE + MACHINE_LISTS + VERDICT + MEMORY + FORGOTTEN,
    ),
    "deactivation": (
        deactivation("host-1"),
        HEAD + LICENSE_ + MACHINE + MACHINE_LISTS + VERDICT + MEMORY + FORGOTTEN,
    ),
    "revocation": (Revoked(), HEAD + LICENSE_ + LISTS + VERDICT + MEMORY + FORGOTTEN),
    "transfer": (
        Transferred(policy=PRODUCT, product=PRODUCT, terms=Terms(max_machines=None)),
        HEAD + LICENSE_ + MOVED + VERDICT + MEMORY + FORGOTTEN,
    ),
    "change of a machine": (
        MachineChanged(machine=machine_of("host-1"), cores=8),
        HEAD + LICENSE_ + MACHINE + VERDICT + MEMORY + FORGOTTEN,
    ),
    "refusal": (issued(1), HEAD + LICENSE_ + VERDICT + MEMORY + FORGOTTEN),
}


async def _grown(last: list[EventData]) -> MemoryReadModel:
    """Make a license of 200 machines with a full memory, all of it old enough to be forgotten."""
    model = MemoryReadModel()
    events = [asked(issued(None), "issue")]
    events += [asked(activation(f"host-{number}"), f"{number}") for number in range(200)]
    events += [asked(data, f"last {number}") for number, data in enumerate(last)]
    await project(model, [_record(offset, event) for offset, event in enumerate(events)])
    assert read_license(model.strings[Keys(0).license(LICENSE)]).commands == len(events)
    older = replace(head_of(model, 0), elapsed_ms=2 * MEMORY_MS)
    model.strings[Keys(0).head] = head_document(older)
    return model


def _record(offset: int, event: Event) -> LogView:
    key, value = event.license.encode(), encode(event)
    return LogView(Record(partition=0, offset=offset, timestamp_ms=NOW_MS, key=key, value=value))


async def _written(model: MemoryReadModel, event: Event) -> int:
    """Fold one more event, and count the keys that it changed, made or removed."""
    before = _contents(model)
    await project(model, [_record(head_of(model, 0).position, event)])
    after = _contents(model)
    return sum(before.get(key) != after.get(key) for key in before.keys() | after.keys())


def _contents(model: MemoryReadModel) -> dict[str, object]:
    sets = {key: tuple(members.items()) for key, members in model.sorted_sets.items()}
    return {**model.strings, **sets}


@pytest.mark.parametrize("name", REQUESTS)
async def test_an_event_writes_what_it_has_to_and_at_most_16_keys(name: str) -> None:
    data, expected = REQUESTS[name]
    written = await _written(await _grown([]), asked(data, "one more"))
    assert written == expected
    assert written - DIGESTS <= EVENT_KEYS_MAX


async def test_a_new_incarnation_writes_at_most_16_keys() -> None:
    written = await _written(await _grown([Revoked()]), asked(issued(1), "anew"))
    assert written == HEAD + LICENSE_ + LISTS + VERDICT + MEMORY + FORGOTTEN


async def test_an_imported_line_writes_head_and_license() -> None:
    denial = imported(DenialImported(kind="denied"), 1)
    assert await _written(await _grown([]), denial) == HEAD + LICENSE_


async def test_what_changes_nothing_writes_the_head_alone() -> None:
    model = await _grown([])
    assert await _written(model, asked(Suspended(), "199", content="199")) == HEAD
    assert await _written(model, asked(Suspended(), "199", content="other")) == HEAD
