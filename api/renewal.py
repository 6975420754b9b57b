"""Certificates that are renewed on disk: new connections get the new ones, without a restart."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from api.logs import RUNBOOK, say

LOOK_S: Final = 10.0
_log: Final = logging.getLogger(__name__)
Stamp = tuple[tuple[int, int, int], ...]


class Held(Struct, frozen=True, kw_only=True):
    """A certificate and its key, and the TLS context that connections are made with."""

    context: ssl.SSLContext
    certificate_file: str
    key_file: str


async def follow(these: Iterable[Held]) -> None:
    """Load what was renewed into the contexts, until cancelled.

    Two files are never replaced at once. So they are tried elsewhere first, and taken when they
    belong together: a context that was given a certificate without its key can't serve anybody.
    """
    held = {each.certificate_file: each for each in these}
    loaded = {name: _stamp(each) for name, each in held.items()}
    told: dict[str, Stamp | None] = {}
    while True:
        await asyncio.sleep(LOOK_S)
        for name, each in held.items():
            stamp = _stamp(each)
            if stamp == loaded[name]:
                continue
            if stamp is not None and _load(each) and stamp == _stamp(each):
                loaded[name] = stamp
                say(_log, logging.INFO, "certificate renewed", file=name)
            elif told.get(name) != stamp:
                told[name] = stamp
                say(
                    _log,
                    logging.WARNING,
                    "a renewed certificate and its key don't belong together, or can't be read: "
                    "the former goes on to serve until they do",
                    file=name,
                    runbook=f"{RUNBOOK}#certificates",
                )


def _stamp(held: Held) -> Stamp | None:
    """What tells files from those that they replace; None where one isn't there."""
    try:
        found: Sequence[os.stat_result] = [
            os.stat(name)  # noqa: PTH116 - the names are text as the settings have them
            for name in (held.certificate_file, held.key_file or held.certificate_file)
        ]
    except OSError:
        return None
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def _load(held: Held) -> bool:
    """Load the files; whether they belong together."""
    files = held.certificate_file, held.key_file or None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files, _no_passphrase)
        held.context.load_cert_chain(*files, _no_passphrase)
    except OSError:
        return False
    return True


def _no_passphrase() -> str:
    """In place of a question at the terminal, which would hold the worker up."""
    return ""
