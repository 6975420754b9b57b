"""`ledger rebuild …`: a replica's read model built anew, proved, flipped, and back if need be."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer

from cli import connection, output, trouble
from cli.attributes import seconds
from cli.local.folder import DEFAULT
from cli.options import Data, Json, Sure
from cli.rebuilding import planned, showing, standing
from cli.rebuilding.bar import Shown
from cli.running import run as run_
from ledger.event_log.port import LogUnavailable
from ledger.settings import Settings, read_settings
from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild import exchange, releases
from projector.rebuild.builders import BuilderAwayError
from projector.rebuild.built import Built
from projector.rebuild.folded_on import refuse_where_nobody_folds_on
from projector.rebuild.intent import Intent
from projector.rebuild.plan import MEMORY_MB_MIN, Plan
from projector.rebuild.plan import plan as foresee
from projector.rebuild.proof import Changes, NotProvedError, Proof
from projector.rebuild.releases import Kept
from projector.rebuild.run import Run, begun
from projector.rebuild.site import RebuildRefusedError, Site

T = TypeVar("T")

WINDOW: Final = "1h"
MEMORY_MB: Final = 1_024

app: Final = typer.Typer(
    no_args_is_help=True,
    help="""Build a replica's read model anew from the log, beside the one that serves.

    `plan` says what it will need, `run` does it all: nothing that serves is touched before the new
    one is proved equal. `undo` is at once, as long as the window is open. One replica at a time.
    """,
)

_Replica = Annotated[
    str, typer.Option("--replica", metavar="LETTER", help="Which one: A is the first.")
]
_Builders = Annotated[
    int,
    typer.Option(
        "--builders", min=1, max=64, help="Processes that build (default: as many as CPUs)."
    ),
]
_MemoryMb = Annotated[
    int, typer.Option("--memory-mb", min=MEMORY_MB_MIN, help="What each builder may take, in MB.")
]
_Window = Annotated[
    str,
    typer.Option("--window", metavar="SPAN", help="How long either may serve afterwards: 30m, 2h."),
]
_Watch = Annotated[
    bool, typer.Option("--watch", help="Go on showing it, until nobody works on it.")
]
_AgainstLog = Annotated[
    bool,
    typer.Option(
        "--against-log",
        help="Prove it by a fresh fold of the log, where what serves may be wrong.",
    ),
]
_CPUS: Final = os.cpu_count() or 1


@app.command()
def plan(
    *,
    replica: _Replica = "A",
    builders: _Builders = _CPUS,
    memory_mb: _MemoryMb = MEMORY_MB,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Say what a rebuild will need, and whether that is there; nothing is written.

    Exit code 1 where something is missing: the line says what, with the numbers.
    """

    async def foreseen(site: Site) -> Plan:
        return await foresee(site, _environment(data), builders=builders, memory_mb=memory_mb)

    made = _on(data, replica, foreseen)
    if as_json:
        output.print_json(msgspec.to_builtins(made))
    else:
        planned.print_plan(made, replica)
    raise typer.Exit(trouble.FAILED if made.reasons else trouble.OK)


@app.command()
def run(  # noqa: PLR0913 - one option each
    *,
    replica: _Replica = "A",
    builders: _Builders = _CPUS,
    memory_mb: _MemoryMb = MEMORY_MB,
    against_log: _AgainstLog = False,
    window: _Window = WINDOW,
    yes: Sure = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Plan, build, prove and flip; what was begun before and killed goes on where it was.

    With --against-log it may differ from what serves: that is shown, and asked about.
    """
    window_s = seconds(window, "--window") or 0
    built, serves = _worked_alone(
        data,
        replica,
        lambda site, work: _all(site, work, builders, memory_mb, window_s, against_log),
        as_json=as_json,
    )
    if not serves:
        agreed = _agreed(built.proof, yes=yes)
        flipped = _worked_alone(
            data,
            replica,
            lambda site, work: _flipped(site, work, window_s, agreed),
            as_json=as_json,
        )
        built = _together(built, flipped)
    _show(built, replica, serves=True, as_json=as_json)


@app.command()
def start(
    *,
    replica: _Replica = "A",
    builders: _Builders = _CPUS,
    memory_mb: _MemoryMb = MEMORY_MB,
    against_log: _AgainstLog = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Plan, build and prove; what serves goes on to serve until `ledger rebuild flip`."""
    built = _worked_alone(
        data,
        replica,
        lambda site, work: _proved(site, work, builders, memory_mb, against_log),
        as_json=as_json,
    )
    if built.proof.changes is not None and built.proof.changes.count and not as_json:
        showing.print_changes(built.proof.changes)
    _show(built, replica, serves=False, as_json=as_json)


@app.command()
def flip(
    *,
    replica: _Replica = "A",
    window: _Window = WINDOW,
    yes: Sure = False,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Have the generation serve that was built: compared once more, then at once.

    What was read back more than a minute ago is read back again, which takes its time; after an
    undo it isn't. One that was proved with --against-log is shown with what will change, and asked
    about.
    """
    window_s = seconds(window, "--window") or 0
    agreed = None
    proof = _worked_alone(data, replica, _changes, as_json=as_json)
    if proof is not None:
        agreed = _agreed(proof, yes=yes)
    built = _worked_alone(
        data, replica, lambda site, work: _flipped(site, work, window_s, agreed), as_json=as_json
    )
    _show(built, replica, serves=True, as_json=as_json)


@app.command()
def undo(
    *,
    replica: _Replica = "A",
    window: _Window = WINDOW,
    data: Data = DEFAULT,
    as_json: Json = False,
) -> None:
    """Have the generation serve that did before, as of now: it was folded on meanwhile."""
    window_s = seconds(window, "--window") or 0

    async def undone(site: Site) -> tuple[Intent, Kept]:
        async with site.alone():
            intent = await exchange.undo(site, await _intent(site), window_s=window_s)
            _, previous = await releases.kept(site.store, intent, site.places)
            return intent, previous

    intent, kept = _on(data, replica, undone)
    if as_json:
        told = {"serves": intent.previous, "other": intent.generation}
        output.print_json(told | {"kept": msgspec.to_builtins(kept)})
    else:
        output.console().print(f"Generation {intent.previous} serves again, as of now.")
        if not kept.as_built_by(intent.release):
            output.remark(standing.mixed(kept, intent.release))


@app.command()
def finish(
    *, replica: _Replica = "A", yes: Sure = False, data: Data = DEFAULT, as_json: Json = False
) -> None:
    """End the window now: delete the generation that doesn't serve. There is no way back then."""
    trouble.confirmed("this deletes the generation that doesn't serve", yes=yes)
    _dropped(data, replica, {"window", "collecting"}, as_json=as_json)


@app.command()
def cancel(*, replica: _Replica = "A", data: Data = DEFAULT, as_json: Json = False) -> None:
    """Give up a rebuild that was not flipped, and delete all that it has built."""
    _dropped(data, replica, {"building", "proved", "collecting"}, as_json=as_json)


@app.command()
def status(
    *, replica: _Replica = "A", watch: _Watch = False, data: Data = DEFAULT, as_json: Json = False
) -> None:
    """Show what is under way: phase, how far, how long still, and how what serves fares."""
    if watch:
        found = _on(data, replica, lambda site: standing.watch(site, as_json=as_json))
    else:
        found = _on(data, replica, standing.look)
    if not as_json:
        standing.print_standing(found)
    elif watch:
        output.print_json_line(standing.standing_document(found))
    else:
        output.print_json(standing.standing_document(found))


def _on(data: Path, replica: str, work: Callable[[Site], Awaitable[T]]) -> T:
    """Work on one replica of the ledger."""
    return run_(_worked(read_settings(connection.environment(data)), replica, work))


async def _worked(settings: Settings, replica: str, work: Callable[[Site], Awaitable[T]]) -> T:
    letters = [chr(ord("A") + number) for number in range(len(settings.replicas))]
    if replica.upper() not in letters:
        raise trouble.Missing(f"--replica is one of {', '.join(letters)}, not {replica!r}")
    site = Site(settings, letters.index(replica.upper()))
    try:
        return await work(site)
    except RebuildRefusedError as error:
        raise trouble.Failed(str(error)) from None
    finally:
        await site.close()


def _worked_alone(
    data: Path, replica: str, work: Callable[[Site, Run], Awaitable[T]], *, as_json: bool = False
) -> T:
    """Work on a rebuild, as the only one, and show how far it is."""
    environment = _environment(data)
    try:
        with Shown() as shown:

            async def alone(site: Site) -> T:
                async with site.alone():
                    return await work(site, Run(site, environment, shown.tell))

            return _on(data, replica, alone)
    except (LogUnavailable, ReadModelUnavailableError, BuilderAwayError) as error:
        raise trouble.Away(
            f"replica {replica.upper()}: {error}; the same command again goes on where it was"
        ) from None
    except NotProvedError as error:
        if as_json:
            output.print_json(showing.unproved_document(error))
        else:
            showing.print_unproved(error)
        raise trouble.Failed(
            f"{error}. What serves is untouched; `ledger rebuild cancel` deletes what was built"
        ) from None


def _agreed(proof: Proof, *, yes: bool) -> Changes | None:
    """Show what will be another than in what serves, and ask whether it may be."""
    changes = proof.changes
    if changes is not None and changes.count:
        showing.print_changes(changes)
        trouble.confirmed("this makes the replica answer otherwise, as shown", yes=yes)
    return changes


def _show(built: Built, replica: str, *, serves: bool, as_json: bool) -> None:
    if as_json:
        output.print_json(showing.built_document(built))
    else:
        more = {**planned.beside_the_plan(built), **planned.way_back(built, replica)}
        showing.print_built(built, serves=serves, more=more)


def _environment(data: Path) -> dict[str, str]:
    """What builders are started with."""
    return {**os.environ, **connection.environment(data)}


async def _all(
    site: Site,
    work: Run,
    builders: int,
    memory_mb: int,
    window_s: int,
    against_log: bool,  # noqa: FBT001 - as it was asked for
) -> tuple[Built, bool]:
    """Build and flip; what was built, and whether it serves: not where that is to be agreed to."""
    await refuse_where_nobody_folds_on(site)
    built = await _proved(site, work, builders, memory_mb, against_log)
    if built.proof.changes is not None and built.proof.changes.count:
        return built, False
    return _together(built, await _flipped(site, work, window_s, None)), True


def _together(built: Built, flipped: Built) -> Built:
    """What both came to; seconds of the later are those of both, where one run did them."""
    took = {**built.seconds, **flipped.seconds}
    return msgspec.structs.replace(
        flipped,
        keys=built.keys,
        rendered=built.rendered,
        grown_bytes=built.grown_bytes,
        seconds=took,
    )


async def _proved(
    site: Site,
    work: Run,
    builders: int,
    memory_mb: int,
    against_log: bool,  # noqa: FBT001 - as it was asked for
) -> Built:
    foreseen = None
    if await site.store.intent() is None:
        made = await foresee(site, work.environment, builders=builders, memory_mb=memory_mb)
        if made.reasons:
            raise RebuildRefusedError(f"no-go: {'; '.join(made.reasons)}")
        foreseen = made.foreseen
    intent = await begun(site, foreseen)
    return await work.build(intent, builders=builders, memory_mb=memory_mb, against_log=against_log)


async def _changes(site: Site, work: Run) -> Proof | None:
    """See what will be another; None where nothing may be."""
    intent = await _intent(site)
    if not intent.against_log or intent.phase in {"building", "collecting"}:
        return None
    return await work.changes(intent)


async def _flipped(site: Site, work: Run, window_s: int, agreed: Changes | None) -> Built:
    return await work.flip(await _intent(site), window_s=window_s, agreed=agreed)


async def _intent(site: Site) -> Intent:
    intent = await site.store.intent()
    if intent is not None:
        return intent
    closed = await site.store.closed()
    before = "" if closed is None else f", and {standing.ended(closed)}"
    raise RebuildRefusedError(
        f"no rebuild is under way{before}: `ledger rebuild plan` is how to begin one"
    )


def _dropped(data: Path, replica: str, phases: set[str], *, as_json: bool) -> None:
    async def dropped(site: Site) -> int:
        async with site.alone():
            intent = await _intent(site)
            if intent.phase not in phases:
                raise RebuildRefusedError(
                    f"a rebuild in the phase {intent.phase!r} ends otherwise: see "
                    "`ledger rebuild status`"
                )
            return await exchange.finish(site, intent)

    gone = _on(data, replica, dropped)
    if as_json:
        output.print_json({"deleted_keys": gone})
    else:
        output.console().print(f"{gone:,} keys are deleted, and the rebuild is over.")
