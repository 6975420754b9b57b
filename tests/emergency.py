"""Emergency orders for tests: a fixed key, and orders in few words."""

from __future__ import annotations

import time
from typing import Final
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.emergency.orders import End, Signed, Start, sign
from ledger.signing_keys import public_hex

KEY: Final = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
OTHER_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
NAME: Final = "ops"
KEYS: Final = {public_hex(KEY): NAME}
SETTING: Final = f"{NAME}={public_hex(KEY)}"


def start(
    ledger: str,
    account: str,
    *,
    product: str | None = None,
    unknown_keys: bool = False,
    duration_s: int = 3600,
    issued_ms: int | None = None,
    id_: str | None = None,
) -> Start:
    """Order for an account; from now on, for an hour, where nothing else is said."""
    return Start(
        id=id_ or str(uuid4()),
        ledger=ledger,
        account=account,
        product=product,
        unknown_keys=unknown_keys,
        duration_s=duration_s,
        issued_ms=round(time.time() * 1000) if issued_ms is None else issued_ms,
        reason="a rehearsal",
    )


def end_of(order: Start, *, issued_ms: int | None = None) -> End:
    """Order that ends another."""
    return End(
        id=str(uuid4()),
        ledger=order.ledger,
        ends=order.id,
        issued_ms=round(time.time() * 1000) if issued_ms is None else issued_ms,
        reason="it is over",
    )


def signed(order: Start | End, key: Ed25519PrivateKey = KEY) -> Signed:
    """Sign an order."""
    return sign(order, key)
