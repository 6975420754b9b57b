"""Settings of one projector: the shared ones, its replica and its slot."""

from __future__ import annotations

from collections.abc import Mapping
from socket import gethostname
from typing import Final

from msgspec import Struct

from ledger.settings import Settings, SettingsError, read_settings, whole_number

LOCAL: Final = "LOCAL"
"""In place of a replica's letter: the copy in a folder of this host."""
SLOTS_MAX: Final = 1000
_PORT_MAX: Final = 65_535


class ProjectorSettings(Struct, frozen=True, kw_only=True):
    """What one projector is told.

    `replica`: its letter, A first, or `LOCAL`: this host's copy. `url`: that replica's Redis,
    empty for a copy, which is in `shared.local_copy`. `slot`: which of the replica's projectors
    this is. `metrics_port`: on 127.0.0.1; None: no metrics and no health.
    """

    shared: Settings
    replica: str
    url: str
    slot: int
    metrics_port: int | None

    @property
    def group(self) -> str:
        """Consumer group of the replica's projectors; each host's copy has one of its own."""
        of_host = f"-{gethostname()}" if self.replica == LOCAL else ""
        return f"{self.shared.topic_prefix}projector-{self.replica}{of_host}"

    @property
    def member(self) -> str:
        """Static member id: a restarted process has its partitions back at once."""
        return f"{self.group}-{self.slot}"

    def __repr__(self) -> str:
        """Print what may be printed: no password in a URL."""
        return (
            f"ProjectorSettings(replica={self.replica!r}, slot={self.slot}, "
            f"metrics_port={self.metrics_port}, shared={self.shared!r})"
        )


def read_projector_settings(environment: Mapping[str, str]) -> ProjectorSettings:
    """Settings of the environment (`LEDGER_*`); raises `SettingsError` by name."""
    shared = read_settings(environment)
    replica = environment.get("LEDGER_REPLICA", "").strip() or "A"
    letters = [chr(ord("A") + number) for number in range(len(shared.replicas))]
    if replica not in {*letters, LOCAL}:
        msg = (
            f"LEDGER_REPLICA is one of {', '.join(letters)} (the URLs of LEDGER_REPLICAS), "
            f"or {LOCAL} (the copy in LEDGER_LOCAL_COPY)"
        )
        raise SettingsError(msg)
    if replica == LOCAL and not shared.local_copy:
        msg = f"LEDGER_LOCAL_COPY is not set: LEDGER_REPLICA={LOCAL} needs the copy's folder"
        raise SettingsError(msg)
    slot = whole_number(environment, "LEDGER_SLOT", 0) or 0
    if slot >= SLOTS_MAX:
        msg = f"LEDGER_SLOT is below {SLOTS_MAX}"
        raise SettingsError(msg)
    port = whole_number(environment, "LEDGER_METRICS_PORT", None)
    if port is not None and not 0 < port <= _PORT_MAX:
        msg = f"LEDGER_METRICS_PORT is a port, 1 to {_PORT_MAX}"
        raise SettingsError(msg)
    return ProjectorSettings(
        shared=shared,
        replica=replica,
        url="" if replica == LOCAL else shared.replicas[letters.index(replica)],
        slot=slot,
        metrics_port=port,
    )
