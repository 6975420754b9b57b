"""`ledger up`: a whole ledger on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from cli import trouble
from cli.archiving.stages import Stages
from cli.archiving.trouble import on_files
from cli.commands.check import VALIDATE_KEY, ask
from cli.local import folder as folders
from cli.local import plan
from cli.local.folder import DEFAULT, DataFolder
from cli.local.screen import Screen
from cli.local.up import Order
from cli.local.up import up as run
from cli.options import Data
from ledger.archive.folder import Folder
from ledger.archive.manifest import check
from ledger.domain.identifiers import Pepper, slug_id
from ledger.event_log.restoring import GO_ON_LOCALLY
from ledger.settings import read_partitions, read_pepper, read_settings

SAMPLE: Final = Path(__file__).resolve().parents[2] / "examples" / "activity.csv"


def up(
    *,
    data: Data = DEFAULT,
    ports: Annotated[
        str,
        typer.Option(
            envvar="LEDGER_PORTS",
            metavar="auto|NAME=PORT,…",
            help="Other ports than the usual ones ("
            + ", ".join(f"{name}={port}" for name, port in plan.DEFAULTS.items())
            + "; with three brokers also "
            + ", ".join(f"{name}={port}" for name, port in plan.MORE_BROKERS.items())
            + "); auto: free ones in place of those that are taken.",
        ),
    ] = "",
    sample: Annotated[
        bool, typer.Option("--sample/--no-sample", help="Load the sample of examples/ first.")
    ] = True,
    secure: Annotated[
        bool,
        typer.Option(
            "--secure",
            help="Speak TLS everywhere, with certificates of an own CA, and give each process a "
            "user and a password at Kafka and Redis.",
        ),
    ] = False,
    brokers: Annotated[
        int | None,
        typer.Option(
            "--brokers",
            metavar="1|3",
            help="How many Kafka brokers (default: as the data folder has them; 1 in a new one). "
            "With 3 each record lies on all, and one may be lost.",
            show_default=False,
        ),
    ] = None,
    restore: Annotated[
        Path | None,
        typer.Option(
            "--restore",
            metavar="FOLDER",
            help="Begin with a backup (`ledger backup`), in a new data folder that has its pepper "
            "and seal-keys.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start Kafka, two replicas with their projectors and the API, until Ctrl-C.

    All data lies in one folder and survives. Ctrl-C (or `ledger stop`) stops everything in order,
    a second Ctrl-C at once. What an earlier run left behind is ended first.
    Examples: `ledger up`, `ledger up --ports auto`, `ledger up --ports api=7200 --data /srv/demo`.
    """
    folder = folders.data_folder(data)
    if brokers not in {None, *folders.BROKERS}:
        raise typer.BadParameter("a local ledger has 1 or 3 brokers", param_hint="--brokers")
    screen = Screen()
    if restore is not None:
        _look_at(restore, folder)
    welcome = _Welcome(folder, SAMPLE if sample and restore is None else None, restore, screen)
    run(
        Order(
            folder=folder,
            ports=plan.parse(ports),
            environ=os.environ,
            secure=secure,
            brokers=brokers,
            initialize=welcome.initialize,
            welcome=welcome.say,
            unhurried=restore is not None,
        ),
        screen,
    )
    if restore is not None and not welcome.begun:
        screen.line(f"The restore did not come to its end: {GO_ON_LOCALLY}")
        raise typer.Exit(trouble.INTERRUPTED)


def _look_at(backup: Path, folder: DataFolder) -> None:
    """See that a backup is there, all its files, and its secrets, before anything is started."""
    for secret in (folder.pepper, folder.seal_keys):
        if not secret.exists():
            raise trouble.Missing(
                f"{secret} is not there: copy pepper and seal-keys, which were kept beside the "
                "backup, into the new data folder"
            )
    environment = {**os.environ, "LEDGER_PEPPER_FILE": str(folder.pepper)}
    environment.pop("LEDGER_PEPPER", None)
    with on_files(backup):
        manifest = Folder(backup).manifest()
        pepper, partitions = Pepper(read_pepper(environment)), read_partitions(environment)
        check(manifest, pepper=pepper, partitions=partitions)
        Folder(backup).check_files(manifest)


class _Welcome:
    """What is done once the broker, and then all, is ready: genesis; the sample, what to know."""

    def __init__(
        self, folder: DataFolder, sample: Path | None, backup: Path | None, screen: Screen
    ) -> None:
        self.begun = False
        """Whether the log has its beginning, and with a backup all of that."""
        self._screen = screen
        self._folder = folder
        self._sample = sample
        self._backup = backup
        self._ledger = ""

    async def initialize(self, ledger: Mapping[str, str], copies: int) -> None:
        """Make topics and genesis, or restore them and all that followed."""
        from cli.initializing import initialize

        settings = read_settings(ledger)
        if self._backup is not None:
            from cli.archiving.restore import restore

            with on_files(self._backup):
                await restore(settings, self._backup, copies, Stages(self._screen))
        self._ledger = await initialize(settings, copies, GO_ON_LOCALLY)
        self.begun = True

    async def say(self, ledger: Mapping[str, str], screen: Screen) -> None:
        """Load the sample and say where everything is; trouble with that stops nothing."""
        key = None
        if self._sample is not None:
            try:
                key = await self._load(self._sample, ledger, screen)
            except Exception as found:
                error = trouble.plain(found)
                if trouble.exit_code(error) is None:
                    raise
                screen.line(f"The sample was not loaded: {error}")
        screen.line()
        screen.line(f"Ready after {screen.elapsed_s:.1f} s.", style="bold green")
        for name, value in self._addresses(ledger).items():
            screen.line(f"  {name:<12}{value}")
        if key is not None:
            screen.line()
            screen.line("A check to paste; it answers VALID:")
            ca_file = ledger.get("LEDGER_API_CA_FILE")
            screen.line(f"  {paste(ledger['LEDGER_API_URL'], key, ca_file)}")
        screen.line()
        screen.line("Ctrl-C stops everything; the data stays.")

    def _addresses(self, ledger: Mapping[str, str]) -> dict[str, str]:
        url = ledger["LEDGER_API_URL"]
        policy = slug_id(self._ledger, "policy", read_settings(ledger).catalog.policy)
        return {
            "API": f"{url}/v1",
            "health": f"{url}/health/ready",
            "metrics": f"{url}/metrics",
            "demo token": f"{folders.read_token(self._folder)}  (as Authorization: Bearer …)",
            "policy": f"{policy}  (the first one: of the sample)",
            **({"CA": ledger["LEDGER_API_CA_FILE"]} if "LEDGER_API_CA_FILE" in ledger else {}),
            "data, logs": str(self._folder.root),
        }

    async def _load(self, sample: Path, ledger: Mapping[str, str], screen: Screen) -> str | None:
        """Import the sample and check one of its licenses; the key of a license that is VALID."""
        from cli.importing.sample import load_sample

        settings = read_settings(ledger)
        loaded = await load_sample(settings, sample)
        screen.line(f"Sample: {loaded.summary}")
        answer = await asyncio.to_thread(
            ask, ledger["LEDGER_API_URL"], loaded.key, ca_file=ledger.get("LEDGER_API_CA_FILE")
        )
        if not answer["meta"]["valid"]:
            screen.line(f"The sample's license is {answer['meta']['code']}")
            return None
        return loaded.key


def paste(url: str, key: str, ca_file: str | None = None) -> str:
    """A command line that checks a key, for any shell with curl."""
    trust = "" if ca_file is None else f"--cacert {shlex.quote(ca_file)} "
    body = json.dumps({"meta": {"key": key}})
    return (
        f"curl -s {trust}{url}{VALIDATE_KEY} -H 'Content-Type: application/vnd.api+json' "
        f"-d {shlex.quote(body)}"
    )
