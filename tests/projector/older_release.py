"""`python -m tests.projector.older_release`: a projector that can't fold one record.

As an older release: `OLDER_CANNOT_FOLD` is that record's command id.
"""

from __future__ import annotations

import os
import sys
from unittest.mock import patch

from ledger.domain.events import Event
from ledger.domain.license import Folded, Loaded, fold
from projector.__main__ import main

_UNKNOWN = os.environ["OLDER_CANNOT_FOLD"]


def _older(event: Event, offset: int, elapsed_ms: int, loaded: Loaded) -> Folded:
    if event.id == _UNKNOWN:
        msg = "of a later release"
        raise RuntimeError(msg)
    return fold(event, offset, elapsed_ms, loaded)


if __name__ == "__main__":
    with patch("projector.folding.fold", _older):
        sys.exit(main())
