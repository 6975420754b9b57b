"""Files of private keys: made once for their owner alone, never overwritten, never quoted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli import output
from cli.local.folder import DataFolder
from cli.trouble import Failed, Missing
from ledger.signing_keys import PrivateKeyError, new_key, private_pem, public_hex, read_private

_PRIVATE: Final = 0o600
_KEY_BYTES_MAX: Final = 16 * 1024
_OTHERS: Final = 0o077


def make(file: Path, folder: DataFolder) -> str:
    """Make a key in a new file; its public half, as hex. Raises `Missing`, `Failed`.

    Never in the data folder: whoever has the host of the ledger has that, and should not be able to
    sign anything.
    """
    if file.expanduser().absolute().resolve().is_relative_to(folder.root.resolve()):
        raise Missing(
            f"{file} is in the ledger's data folder, and who has the ledger's host would have the "
            "key: keep it elsewhere"
        )
    key = new_key()
    _write(file, private_pem(key).encode())
    return public_hex(key)


def read(file: Path) -> Ed25519PrivateKey:
    """Private key of a file; says it where others may read it. Raises `Missing`."""
    try:
        with file.expanduser().open("rb") as opened:
            is_open = os.fstat(opened.fileno()).st_mode & _OTHERS
            content = opened.read(_KEY_BYTES_MAX)
        key = read_private(content)
    except OSError as error:
        raise Missing(f"the key {file} can't be read: {error.strerror}") from None
    except PrivateKeyError as error:
        raise Missing(f"the key {file} can't be used: {error}") from None
    if is_open:
        output.remark(f"Others on this machine may read the key: chmod 600 {file}")
    return key


def _write(file: Path, content: bytes) -> None:
    """Write a new file that nobody else may read, and have it on the disk."""
    try:
        handle = os.open(file.expanduser(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError:
        raise Missing(
            f"{file} is there already, and a key is never overwritten: name another file"
        ) from None
    except OSError as error:
        raise Failed(f"{file} can't be written: {error.strerror}") from None
