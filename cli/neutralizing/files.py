"""Files of signed orders."""

from __future__ import annotations

from pathlib import Path

from api.emergency.folder import Folder
from cli.trouble import Failed, Missing
from ledger.emergency.orders import Signed


def leave(signed: Signed, folder: Path) -> None:
    """Put a signed order into a folder that workers look at. Raises `Missing`, `Failed`."""
    if not folder.is_dir():
        raise Missing(f"{folder} is no folder: name the workers' LEDGER_EMERGENCY_ORDERS")
    try:
        Folder(folder).keep(signed)
    except OSError as error:
        raise Failed(f"{folder} can't be written: {error.strerror}") from None
