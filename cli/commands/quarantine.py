"""`ledger quarantine`: records that can't be folded, what they froze, and the ways out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Final, TypeVar

import typer
from redis.exceptions import RedisError

from cli import connection, output, trouble
from cli.commands.check import key_of
from cli.forget import licenses_named
from cli.local.folder import DEFAULT
from cli.options import Data, Json, Sure
from cli.quarantining import wording
from cli.quarantining.discarding import discard as order_discard
from cli.quarantining.discarding import is_discarded, obeyed, waits_at
from cli.quarantining.explaining import Explained, explain_stray
from cli.quarantining.explaining import explain as explain_license
from cli.quarantining.finding import meant, silence
from cli.quarantining.looking import Held, look
from cli.quarantining.progress import partitions_shown
from cli.quarantining.retrying import Retried, wanted
from cli.quarantining.retrying import retry as order_retry
from cli.replica import Replicas
from cli.running import run
from ledger.domain.identifiers import is_id
from ledger.settings import Settings
from projector.read_model.port import ReadModelError

T = TypeVar("T")

_PLACE: Final = re.compile(r"(\d{1,4}):(\d{1,18})", re.ASCII)

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""Records that can't be folded: what they froze, why, and the ways out.

    A frozen license is checked as it was before the record; writes to it are refused. A release
    that can fold the record mends it by itself: `retry` says so. `discard` leaves a record out, for
    good.
    """,
)

Place = Annotated[
    str, typer.Argument(metavar="PARTITION:OFFSET", help="Where the record stands, as `list` says.")
]


@app.command("list")
def list_(*, data: Data = DEFAULT, as_json: Json = False) -> None:
    """Show what is set aside, where the replicas differ, and since when.

    Example: `ledger quarantine list --json`.
    """
    held = run(_look(connection.settings(data)))
    if as_json:
        output.print_json(wording.listed(held))
    else:
        wording.print_listed(held)
    silent = any(one.trouble is not None for one in held)
    raise typer.Exit(trouble.FAILED if silent else trouble.OK)


@app.command()
def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="LICENSE|PARTITION:OFFSET",
            help="A license's id or key (- for stdin), or where a record stands.",
        ),
    ],
    *,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Say why a record can't be folded, what this software makes of it, and what waits behind.

    It decodes and folds in memory and writes nothing. No value of the record is shown.
    Example: `ledger quarantine explain 3:4711`.
    """
    found = run(_explained(connection.settings(data), what))
    if as_json:
        output.print_json(wording.explained(found))
    else:
        wording.print_explained(found)


@app.command()
def retry(
    license_: Annotated[
        str | None,
        typer.Argument(metavar="[LICENSE]", help="Its id or key; - reads it from stdin."),
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that are frozen.")] = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Have every replica's projector fold again what is set aside, and wait for it.

    They do so by themselves when they start, and when a record is discarded. Exit code 1 where
    some stay frozen, 2 where there is no such license. Example: `ledger quarantine retry --all`.
    """
    if (license_ is None) != everything:
        raise trouble.Missing("name a license, or all of them: ledger quarantine retry --all")
    done, id_ = run(_retried(connection.settings(data), license_))
    if as_json:
        output.print_json(wording.retried(done))
    else:
        wording.print_retried(done, id_)
    raise typer.Exit(trouble.OK if all(one.well for one in done) else trouble.FAILED)


@app.command()
def discard(
    place: Place, *, yes: Sure = False, data: Data = DEFAULT, as_json: Json = False
) -> None:
    """Leave a record out, for good: every fold skips it, in every replica and every rebuild.

    Only what froze a license in every replica, or has no license's key, and what this software
    can't fold. What waits behind it is folded then. Example: `ledger quarantine discard 3:4711`.
    """
    settings = connection.settings(data)
    partition, offset = _place(settings, place)
    before = run(_discardable(settings, partition, offset))
    if not before:
        trouble.confirmed(wording.consent(partition, offset), yes=yes)
    held = run(_discarded(settings, partition, offset))
    if as_json:
        output.print_json(wording.discarded(partition, offset, held, again=before))
    else:
        wording.print_discarded(partition, offset, held, again=before)


async def _look(settings: Settings) -> list[Held]:
    async with _replicas(settings) as replicas:
        return await look(replicas, settings.partitions)


async def _explained(settings: Settings, what: str) -> Explained:
    if _PLACE.fullmatch(what):
        partition, offset = _place(settings, what)
        return await _explained_at(settings, partition, offset)
    names = await _named(settings, key_of(what))
    async with _replicas(settings) as replicas:
        held = await _answering(replicas, settings)
        id_ = await _asked(meant(replicas, held, names, settings.partitions))
        for one in held:
            found = one.license(id_)
            if found is None:
                continue
            explained = await _asked(explain_license(replicas, settings, one, found))
            if explained is not None:
                return explained
    where = "in no replica that answers" if silence(held) else "in no replica"
    raise trouble.Failed(
        f"the license {id_} is frozen {where}{silence(held)}: `ledger quarantine list` shows all"
    )


async def _explained_at(settings: Settings, partition: int, offset: int) -> Explained:
    async with _replicas(settings) as replicas:
        held = await _answering(replicas, settings)
        for one in held:
            if one.trouble is not None:
                continue
            here = [it for it in one.frozen if it.partition == partition]
            found = next((it for it in here if it.offset == offset), None)
            if found is None:
                explained = await _asked(
                    explain_stray(replicas, one, partition, offset, settings.partitions)
                )
            else:
                explained = await _asked(explain_license(replicas, settings, one, found))
            if explained is not None:
                return explained
    where = "any replica that answers" if silence(held) else "any replica"
    raise trouble.Failed(
        f"no license is frozen by {partition}:{offset} in {where}, and it isn't a record of no "
        f"license there{silence(held)}: `ledger quarantine list` shows all"
    )


async def _retried(settings: Settings, license_: str | None) -> tuple[list[Retried], str | None]:
    """What came of it, and the id of the license, None where it was of all."""
    names = None if license_ is None else await _named(settings, key_of(license_))
    async with _replicas(settings) as replicas:
        held = await look(replicas, settings.partitions)
        id_ = None
        if names is not None and any(one.trouble is None for one in held):
            id_ = await _asked(meant(replicas, held, names, settings.partitions))
        elif names is not None:
            id_ = names[0]
        total = sum(len(set(wanted(one, id_).values())) for one in held)
        with partitions_shown(total) as tell:
            return await order_retry(replicas, held, id_, tell), id_


async def _discardable(settings: Settings, partition: int, offset: int) -> bool:
    """Whether it is discarded already. Raises `Failed` where it may not be."""
    async with connection.connected(settings) as connected:
        if await is_discarded(connected, partition, offset):
            return True
        await _check(connected, partition, offset)
        return False


async def _check(connected: connection.Connection, partition: int, offset: int) -> None:
    settings = connected.settings
    held = await look(connected.replicas, settings.partitions)
    if reasons := await _asked(waits_at(connected, held, partition, offset)):
        raise trouble.Failed(
            f"{partition}:{offset} can't be discarded: {'; '.join(reasons)}. Only a record that "
            "every replica has set aside can be: elsewhere it would stay folded"
        )
    for one in held:
        for found in one.frozen:
            if (found.partition, found.offset) != (partition, offset):
                continue
            explained = await _asked(explain_license(connected.replicas, settings, one, found))
            if explained is not None and explained.foldable:
                raise trouble.Failed(
                    f"this software can fold {partition}:{offset}: nothing needs to be discarded. "
                    f"Upgrade the projectors, then: ledger quarantine retry {found.license}"
                )


async def _discarded(settings: Settings, partition: int, offset: int) -> list[Held]:
    async with connection.connected(settings) as connected:
        if not await is_discarded(connected, partition, offset):
            # While a person was asked, somebody may have upgraded.
            await _check(connected, partition, offset)
            await order_discard(connected, partition, offset)
        return await _asked(obeyed(connected, partition, offset))


async def _named(settings: Settings, named: str) -> tuple[str, ...]:
    """Ids that a text may mean; the log is asked whose ledger it is only for a key."""
    if is_id(named.lower()):
        return (named.lower(),)
    async with connection.connected(settings) as connected:
        return licenses_named(settings, connected.ledger, named)


async def _answering(replicas: Replicas, settings: Settings) -> Sequence[Held]:
    """What all replicas have set aside, of which one answers at least."""
    held = await look(replicas, settings.partitions)
    if all(one.trouble is not None for one in held):
        raise trouble.Away(f"no replica answers: {held[0].trouble if held else 'there is none'}")
    return held


async def _asked(call: Awaitable[T]) -> T:
    """Await what asks a replica; trouble with it is told in words."""
    try:
        return await call
    except (RedisError, ReadModelError) as error:
        raise trouble.Failed(f"a replica doesn't answer any more: {error}") from None


@asynccontextmanager
async def _replicas(settings: Settings) -> AsyncIterator[Replicas]:
    replicas = Replicas(settings)
    try:
        yield replicas
    finally:
        await replicas.close()


def _place(settings: Settings, place: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(place)
    if found is None:
        raise trouble.Missing(f"{place} is no PARTITION:OFFSET, as in 3:4711")
    partition, offset = int(found[1]), int(found[2])
    if partition >= settings.partitions:
        raise trouble.Missing(
            f"there is no partition {partition}: the ledger has {settings.partitions}, from 0 on"
        )
    return partition, offset
