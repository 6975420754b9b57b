"""Trouble that a person can do something about: one line, and the exit code.

0 done, and the answer is yes; 1 it failed, or the answer is no; 2 wrong usage, or something that
must be there isn't, or is not this ledger's; 3 what has to be asked (the API, Kafka, all replicas)
can't be reached or can't answer now; 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNAVAILABLE: Final = 3
INTERRUPTED: Final = 130


class Missing(Exception):
    """Something that the command needs is not there; the message says how to get it."""


class Failed(Exception):
    """The command could not do what was asked; the message says why, and what to do."""


class Away(Exception):
    """What the command has to ask can't be reached now; the message says what, and why."""


def sure(what: str, *, yes: bool) -> None:
    """Let nothing that can't be undone happen without `--yes`; `what` says what would happen."""
    if not yes:
        raise Missing(f"{what}. Add --yes to do it")


def confirmed(what: str, *, yes: bool) -> None:
    """Ask, on a terminal, whether `what` is to be done; elsewhere only `--yes` lets it be done."""
    if yes:
        return
    if not _on_terminal():
        raise Missing(f"{what}. Add --yes to do it")
    print(f"{what}. Do it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Failed("nothing was done")


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def plain(error: BaseException) -> BaseException:
    """The first error of a group: what went wrong in one of several tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def exit_code(error: BaseException) -> int | None:
    """Exit code of an error whose text is written for people; None of any other: a bug."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, _usage()):
        return USAGE
    if isinstance(error, _unavailable()):
        return UNAVAILABLE
    return FAILED if isinstance(error, _failures()) else None


def _usage() -> tuple[type[Exception], ...]:
    from cli.importing.scan import ImportRefusedError
    from cli.local.folder import FolderError
    from cli.local.kafka import KafkaSetupError
    from cli.local.lock import FolderInUse
    from cli.local.plan import PortError
    from cli.local.ports import NoFreePortError
    from cli.local.redis import RedisSetupError
    from ledger.archive.trouble import ForeignBackup, NoBackup
    from ledger.event_log.port import ForeignLog, MissingTopic, NotInitialized
    from ledger.settings import SettingsError

    not_there = (NoBackup, ForeignBackup, ForeignLog, MissingTopic, NotInitialized)
    setup = (KafkaSetupError, RedisSetupError, FolderError, FolderInUse, PortError, NoFreePortError)
    return (Missing, SettingsError, ImportRefusedError, *not_there, *setup)


def _unavailable() -> tuple[type[Exception], ...]:
    from cli.api import ApiAway
    from cli.patience import BrokerAwayError
    from cli.replica import ReplicasAwayError
    from ledger.event_log.port import LogUnavailable
    from projector.read_model.port import ReadModelUnavailableError

    kafka = (LogUnavailable, BrokerAwayError)
    return (Away, ApiAway, *kafka, ReplicasAwayError, ReadModelUnavailableError)


def _failures() -> tuple[type[Exception], ...]:
    from cli.api import ApiRefused
    from cli.importing.pace import NotFoldedError
    from cli.importing.run import ImportIncompleteError
    from cli.local.orphans import OrphansLeft
    from cli.local.up import UpError
    from cli.web import ApiUnavailable
    from ledger.archive.trouble import ArchiveError
    from ledger.event_log.port import LogError
    from ledger.sealing.erasure import ErasureUnfinishedError
    from projector.read_model.port import ReadModelError
    from projector.rebuild.builders import BuilderFailedError
    from projector.rebuild.differences import ApartError

    local = (UpError, OrphansLeft)
    rebuilding = (ReadModelError, BuilderFailedError, ApartError)
    importing = (ImportIncompleteError, NotFoldedError)
    return (
        Failed,
        ApiRefused,
        ApiUnavailable,
        LogError,
        ArchiveError,
        ErasureUnfinishedError,
        *local,
        *importing,
        *rebuilding,
    )
