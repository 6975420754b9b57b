"""Having the projectors fold again what is set aside, and waiting for their answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from secrets import token_hex
from typing import Final

from msgspec import Struct
from redis.exceptions import RedisError

from cli.quarantining.looking import Held
from cli.replica import Replicas
from projector.read_model.keys import retry_answer, retry_order
from projector.read_model.reasons import reason
from projector.retry_orders import (
    KEPT_S,
    RetryAnswer,
    RetryOrder,
    read_answer,
    retry_document,
)

ANSWERED_S: Final = 30.0
"""A projector looks for orders once a second; one that is just starting takes some."""
_POLL_S: Final = 0.2


class Retried(Struct, frozen=True, kw_only=True):
    """What came of it in one replica.

    `frozen`: licenses that stay frozen, by id, and the record each stands before. `unanswered`:
    partitions whose projector hasn't answered. `release`: of the projectors.
    """

    letter: str
    thawed: Sequence[str] = ()
    frozen: Mapping[str, int] = {}
    unanswered: Sequence[int] = ()
    release: str | None = None
    trouble: str | None = None

    @property
    def well(self) -> bool:
        """Whether nothing stays frozen of what was asked for."""
        return not self.frozen and not self.unanswered and self.trouble is None


async def retry(
    replicas: Replicas, held: Sequence[Held], license_: str | None, tell: Callable[[int], None]
) -> list[Retried]:
    """Order it in every replica; `license_` None: all. `tell` is told of each partition done."""
    return list(await asyncio.gather(*(_retry(replicas, one, license_, tell) for one in held)))


def wanted(held: Held, license_: str | None) -> dict[str, int]:
    """Licenses of a replica that are to be folded again, with their partitions."""
    return {one.license: one.partition for one in held.frozen if license_ in {None, one.license}}


async def _retry(
    replicas: Replicas, held: Held, license_: str | None, tell: Callable[[int], None]
) -> Retried:
    if held.trouble is not None:
        return Retried(letter=held.letter, trouble=held.trouble)
    asked = wanted(held, license_)
    partitions = sorted(set(asked.values()))
    order = RetryOrder(id=token_hex(8), license=license_)
    try:
        answers = await _answers(replicas, held, order, partitions, tell)
    except RedisError as error:
        return Retried(letter=held.letter, trouble=reason(error))
    frozen = {id_: at for answer in answers.values() for id_, at in answer.frozen.items()}
    return Retried(
        letter=held.letter,
        thawed=[id_ for id_, place in asked.items() if place in answers and id_ not in frozen],
        frozen=frozen,
        unanswered=[place for place in partitions if place not in answers],
        release=next((answer.release for answer in answers.values()), None),
    )


async def _answers(
    replicas: Replicas,
    held: Held,
    order: RetryOrder,
    partitions: Sequence[int],
    tell: Callable[[int], None],
) -> dict[int, RetryAnswer]:
    client = replicas.clients[ord(held.letter) - ord("A")]
    for partition in partitions:
        await client.set(retry_order(partition), retry_document(order), ex=KEPT_S)
    answers: dict[int, RetryAnswer] = {}
    given_up_at = time.monotonic() + ANSWERED_S
    while len(answers) < len(partitions) and time.monotonic() < given_up_at:
        await asyncio.sleep(_POLL_S)
        for partition in partitions:
            if partition in answers:
                continue
            found = await client.get(retry_answer(partition))
            answer = read_answer(found if isinstance(found, bytes) else None)
            if answer is not None and answer.id == order.id:
                answers[partition] = answer
                tell(1)
    return answers
