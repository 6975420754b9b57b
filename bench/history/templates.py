"""Templates of records: what the codec has made of one event, with slots for all that differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from ledger.domain import events
from ledger.domain.clocks import rfc3339
from ledger.domain.events import Event, EventData
from ledger.event_log.codec import encode

ID: Final = "11111111-1111-8111-8111-111111111abc"
LICENSE: Final = "22222222-2222-8222-8222-222222222abc"
MACHINE: Final = "33333333-3333-8333-8333-333333333abc"
CONTENT: Final = "4" * 32
DIGEST: Final = "5" * 32
SOURCE_DIGEST: Final = "6" * 32
SEALED: Final = f"{'7' * 16}.sealed"
HOST: Final = f"{'8' * 16}.host"
SOURCE: Final = "its source"
NAME: Final = "its name"
ACTOR: Final = "its actor"
TIME_MS: Final = 1_234_567_890_123
OCCURRED_MS: Final = 1_345_678_901_234
NUMBER: Final = 1_357_924
LARGE: Final = 1_468_013_579_246
SEQUENCE: Final = 8_642_086
"""Values that stand nowhere else in an event: where one is, a slot is made."""

Slots = tuple[str | int, ...]
"""Values of slots, in their order."""


def template(event: Event, *slots: str | int) -> str:
    """Text of the event's record with a `%s` for each of the slots' values, in their order.

    Raises `ValueError` where one doesn't stand there once, or in another order.
    """
    text, made = encode(event).decode().replace("%", "%%"), ""
    for slot in slots:
        before, found, text = text.partition(str(slot))
        if not found or str(slot) in text:
            raise ValueError(f"{slot} does not stand once in the event, in this order")
        made += f"{before}%s"
    return made + text


class Templates:
    """Templates by their names, each made when it is asked for first.

    The slots of every one: actor, content digest, those of its data, then id, license and time; of
    what was imported id, when it happened, sequence, source, source digest, license and time.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], str] = {}

    def get(
        self,
        name: tuple[object, ...],
        data: Callable[[], EventData],
        *slots: str | int,
        version: int | None = None,
        imported: bool = False,
    ) -> str:
        """The template of this name, made at its first use."""
        found = self._made.get(name)
        if found is None:
            event = Event(
                id=ID,
                source="api",
                license=LICENSE,
                time_ms=TIME_MS,
                actor=ACTOR,
                content_digest=CONTENT,
                data=data(),
                rules=events.RULES_VERSION,
                policy_version=version,
            )
            tail: Slots = (ID, LICENSE, rfc3339(TIME_MS))
            if imported:
                event = replace(
                    event,
                    source=SOURCE,
                    sequence=SEQUENCE,
                    source_digest=SOURCE_DIGEST,
                    occurred_at_ms=OCCURRED_MS,
                )
                tail = (ID, rfc3339(OCCURRED_MS), SEQUENCE, SOURCE, SOURCE_DIGEST, *tail[1:])
            found = template(event, ACTOR, CONTENT, *slots, *tail)
            self._made[name] = found
        return found
