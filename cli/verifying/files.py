"""Checkpoints in files: read with an eye on who signed them, and written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from msgspec import Struct

from cli.trouble import Failed, Missing
from ledger.checkpoints.comparing import foreign
from ledger.checkpoints.document import (
    DOCUMENT_BYTES_MAX,
    Checkpoint,
    Refusal,
    Signed,
    UndecodableCheckpointError,
    decode,
    encode,
    signer,
)
from ledger.checkpoints.keys import VARIABLE, read_keys
from ledger.event_log.genesis import Genesis
from ledger.named_keys import NAME, PUBLIC

_PUBLIC_MODE = 0o644

PublicKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--public-key",
        metavar="HEX",
        help="The public half of a key whose checkpoints are believed, or name=HEX; again for "
        f"each. Without it those that {VARIABLE} lists.",
        show_default=False,
    ),
]


class Kept(Struct, frozen=True, kw_only=True):
    """A checkpoint of a file, and the name of the key that has signed it."""

    file: str
    signer: str
    checkpoint: Checkpoint


def believed(public_keys: Sequence[str] | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Names of the keys that are believed, by public half. Raises `Missing`, `SettingsError`."""
    if not public_keys:
        return {public: name for name, public in read_keys(environment)}
    found = {}
    for one in public_keys:
        name, _, public = one.rpartition("=")
        if not PUBLIC.fullmatch(public) or (name and not NAME.fullmatch(name)):
            raise Missing(
                "--public-key is 64 hex digits, or name=64 hex digits, as "
                "`ledger checkpoint keygen` prints them"
            )
        found[public] = name or public[:8]
    return found


def read(file: Path, keys: Mapping[str, str]) -> Kept:
    """Checkpoint of a file, signed by one of `keys`.

    Raises `Missing`, and `Failed` where the signature is bad.
    """
    if not keys:
        raise Missing(
            f"nobody says whose signature on {file} is believed: name the public half of the key, "
            f"--public-key or {VARIABLE} (`ledger checkpoint keygen` has printed it)"
        )
    try:
        with file.expanduser().open("rb") as opened:
            signed = decode(opened.read(DOCUMENT_BYTES_MAX + 1))
    except OSError as error:
        raise Missing(f"{file} can't be read: {error.strerror}") from None
    except UndecodableCheckpointError as error:
        raise Missing(f"{file} is no checkpoint: {error}") from None
    name = signer(signed, keys)
    if name is Refusal.KEY_UNKNOWN:
        raise Missing(
            f"{file} is signed by the key {signed.key}, which is none of those that are believed: "
            f"--public-key or {VARIABLE} names it, if you trust it"
        )
    if name is Refusal.SIGNATURE_INVALID:
        raise Failed(f"the signature of {file} is bad: it was changed after it was signed")
    return Kept(file=str(file), signer=str(name), checkpoint=signed.checkpoint)


def check_whose(kept: Iterable[Kept], first: Genesis) -> None:
    """See that the checkpoints are of the log that begins so. Raises `Missing`."""
    for one in kept:
        why = foreign(one.checkpoint, first)
        if why is not None:
            raise Missing(f"{one.file}: {why}")


def check_writable(file: Path) -> None:
    """See that a checkpoint can be written there, before the log is read. Raises `Missing`."""
    target = file.expanduser()
    if not target.parent.is_dir():
        raise Missing(f"{file.parent} is no folder: make it first")
    if target.is_dir():
        raise Missing(f"{file} is a folder: name a file")
    try:
        with _part(target):
            pass
    except OSError as error:
        raise Missing(f"{file} can't be written: {error.strerror}") from None


def write(signed: Signed, file: Path) -> None:
    """Write a checkpoint, on the disk and in one step. Raises `Failed`."""
    target = file.expanduser()
    try:
        with _part(target) as (part, opened):
            opened.write(encode(signed))
            opened.flush()
            os.fsync(opened.fileno())
            part.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise Failed(f"{file} can't be written: {error.strerror}") from None


@contextmanager
def _part(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file beside the target; it is gone afterwards unless it is the target by then."""
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PUBLIC_MODE)
    try:
        with os.fdopen(handle, "wb") as opened:
            yield part, opened
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
