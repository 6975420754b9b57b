"""Which rules version writers use, what the projectors know, and the step to a later one.

A version is activated once every running projector of every replica has announced that it knows
it: one that doesn't would stop at the first event of that version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from cli.connection import Connection
from cli.patience import patiently
from cli.trouble import Failed, Missing
from ledger.domain.catalog.entities import FIRST_RULES, RULES_ID, Rules
from ledger.domain.catalog.events import CATALOG_TYPE_NAMES, CatalogEvent, RulesActivated
from ledger.domain.events import RULES_VERSION
from ledger.domain.identifiers import catalog_command_id, content_digest
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.port import Appended, Topic
from ledger.settings import Settings
from projector.read_model import keys
from projector.read_model.keys import CATALOG, FIRST_GENERATION, Keys
from projector.read_model.port import ReadModelError
from projector.read_model.redis import RedisReadModel
from projector.settings import SLOTS_MAX
from projector.slot import announced_rules, holder_key
from projector.views.catalog import read_entity
from projector.views.documents import read_head

ACTOR: Final = "cli"
FOLDED_S: Final = 15.0
_POLL_S: Final = 0.1
_encoder: Final = msgspec.json.Encoder(order="sorted")


class Replica(Struct, frozen=True, kw_only=True):
    """What a replica says: `active` version, and what each running projector knows, by slot.

    `active` None: it doesn't answer. `position`: what comes next there of the catalog.
    A projector that has announced nothing knows None.
    """

    letter: str
    active: int | None = None
    position: int = 0
    projectors: Mapping[str, int | None] = {}


async def look(settings: Settings) -> list[Replica]:
    """Ask every replica."""
    return await asyncio.gather(
        *(
            _look(settings, chr(ord("A") + number), url)
            for number, url in enumerate(settings.replicas)
        )
    )


def active(replicas: Sequence[Replica]) -> int | None:
    """Version that is active; None where no replica answers."""
    return max((one.active for one in replicas if one.active is not None), default=None)


def check(version: int, replicas: Sequence[Replica]) -> None:
    """See whether `version` may be activated; raises `Failed`, `Missing` with all that forbids it.

    A replica whose projectors can't be asked forbids it as well: they may be old.
    """
    if version > RULES_VERSION:
        raise Missing(f"this software knows rules up to {RULES_VERSION}: upgrade it first")
    now = active(replicas)
    if now is not None and version <= now:
        raise Missing(f"rules {now} are active, and there is no way back: name a later version")
    reasons = [reason for one in replicas for reason in _reasons(version, one)]
    if reasons:
        raise Failed(f"rules {version} can't be activated yet: {'; '.join(reasons)}")


async def activate(connected: Connection, version: int) -> Appended:
    """Append the order, and wait until every replica has folded it.

    It is one command, however often it is asked. Raises `Failed` where that takes too long,
    `LogError`, `BrokerAwayError`.
    """
    event = _event(connected.settings, version, (await connected.replicas.now()).time_ms)
    appended = await patiently(
        lambda: connected.log.append(
            Topic.CATALOG_EVENTS, 0, key=RULES_ID.encode(), value=encode_catalog(event)
        )
    )
    given_up_at = time.monotonic() + FOLDED_S
    while True:
        replicas = await look(connected.settings)
        late = [one.letter for one in replicas if one.position <= appended.offset]
        if not late:
            break
        if time.monotonic() > given_up_at:
            raise Failed(
                f"rules {version} are ordered (catalog, offset {appended.offset}), and replica "
                f"{', '.join(late)} hasn't folded that yet: see `ledger doctor`"
            )
        await asyncio.sleep(_POLL_S)
    if any((one.active or 0) < version for one in replicas):
        raise Failed(f"the catalog refused rules {version}: see `ledger rules`")
    return appended


async def _look(settings: Settings, letter: str, url: str) -> Replica:
    model = RedisReadModel(url)
    slots = [f"{settings.topic_prefix}projector-{letter}-{slot}" for slot in range(SLOTS_MAX)]
    try:
        [serving] = await model.get([keys.serving(CATALOG)])
        here = Keys(CATALOG, FIRST_GENERATION if serving is None else serving.decode())
        head, document = await model.get([here.head, here.entity(RULES_ID)])
        holders = await model.get([holder_key(slot) for slot in slots])
        live = [slot for slot, holder in zip(slots, holders, strict=True) if holder is not None]
        projectors = await announced_rules(model, live)
    except ReadModelError:
        return Replica(letter=letter)
    finally:
        await model.close()
    rules = None if document is None else read_entity(document)
    return Replica(
        letter=letter,
        active=rules.version if isinstance(rules, Rules) else FIRST_RULES,
        position=0 if head is None else read_head(head).position,
        projectors=projectors,
    )


def _reasons(version: int, replica: Replica) -> list[str]:
    if replica.active is None:
        return [f"replica {replica.letter} doesn't answer"]
    if not replica.projectors:
        return [f"no projector runs on replica {replica.letter}"]
    return [
        f"{slot} {'has announced none' if knows is None else f'knows rules up to {knows}'}"
        for slot, knows in replica.projectors.items()
        if knows is None or knows < version
    ]


def _event(settings: Settings, version: int, time_ms: int) -> CatalogEvent:
    data = RulesActivated(version=version)
    type_ = CATALOG_TYPE_NAMES[RulesActivated]
    content = b"%b %b %b" % (type_.encode(), RULES_ID.encode(), _encoder.encode(data))
    return CatalogEvent(
        id=catalog_command_id(settings.pepper, RULES_ID, ACTOR, f"{type_} {version}"),
        source=ACTOR,
        account=RULES_ID,
        subject=RULES_ID,
        time_ms=time_ms,
        actor=ACTOR,
        content_digest=content_digest(settings.pepper, content),
        data=data,
    )
