"""The `ledger` command."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import trouble
from cli.commands import (
    account,
    backup,
    ballast,
    capacity,
    check,
    checkpoint,
    doctor,
    drill,
    entitlement,
    forget,
    init,
    license,  # noqa: A004 - named as the command is
    machine,
    maintenance,
    neutralize,
    policy,
    product,
    quarantine,
    rebuild,
    rehearse,
    restore,
    rules,
    show,
    state,
    tail,
    token,
    up,
    verify,
)
from cli.commands import importing as import_commands
from projector.release import release


class _Root(TyperGroup):
    """Turns trouble into one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401 - typer brings its own click
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as found:
            error = trouble.plain(found)
            code = trouble.exit_code(error)
            if code is None:
                raise
            if not isinstance(error, KeyboardInterrupt):
                typer.echo(f"ledger: {error}", err=True)
            raise typer.Exit(code) from None


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    help="""A ledger of license events in Kafka, and license checks that never wait for a database.

    Start with `ledger up`. Exit codes: 0 done and the answer is yes, 1 failed or the answer is no,
    2 wrong usage or something is missing, 3 what is asked (the API, Kafka, a Postgres) can't be
    reached or can't answer now, 130 interrupted.
    """,
)


def _say_release(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        typer.echo(f"ledger {release()}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which release this is.", is_eager=True, callback=_say_release
        ),
    ] = False,
) -> None:
    del version


app.command("up")(up.up)
app.command("status")(state.status)
app.command("stop")(state.stop)
app.command("doctor")(doctor.doctor)
app.command("capacity")(capacity.capacity)
app.add_typer(ballast.app, name="ballast")
app.command("check")(check.check)
app.command("show")(show.show)
app.command("tail")(tail.tail)
app.add_typer(license.app, name="license")
app.add_typer(machine.app, name="machine")
app.add_typer(policy.app, name="policy")
app.add_typer(product.app, name="product")
app.add_typer(entitlement.app, name="entitlement")
app.add_typer(token.app, name="token")
app.add_typer(account.app, name="account")
app.command("whoami")(account.whoami)
app.add_typer(import_commands.app, name="import")
app.add_typer(rules.app, name="rules")
app.command("rehearse")(rehearse.rehearse)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(rebuild.app, name="rebuild")
app.command("forget")(forget.forget)
app.add_typer(neutralize.app, name="neutralize")
app.add_typer(maintenance.app, name="maintenance")
app.add_typer(checkpoint.app, name="checkpoint")
app.command("verify")(verify.verify)
app.add_typer(drill.app, name="drill")
app.command("init")(init.init)
app.command("backup")(backup.backup)
app.command("restore")(restore.restore)


def main() -> None:
    """Run the command line."""
    # What these log while a command works, it says in lines of its own where people need it.
    for library in ("aiokafka", "projector"):
        logging.getLogger(library).addHandler(logging.NullHandler())
    # The pasted line of a shell may be cut off: a closed pipe is no trouble of ours.
    try:
        app(prog_name="ledger")
    except KeyboardInterrupt:
        sys.exit(trouble.INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(trouble.FAILED)
