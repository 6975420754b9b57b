"""Whether later rules were rehearsed on this ledger, before they are activated for good."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, to_builtins

from cli.connection import Connection
from cli.one_record import record_at
from cli.patience import patiently
from cli.trouble import Failed
from ledger.domain.clocks import rfc3339
from ledger.event_log.port import EventLog, Topic
from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.store import Store
from projector.rehearsal.outcome import KEY, Outcome, read_outcome
from projector.release import release

_AT_ONCE: Final = 4


class Standing(Struct, frozen=True, kw_only=True):
    """A rehearsal, and how many records of licenses the log has `grown` by since."""

    outcome: Outcome
    grown: int

    @property
    def said(self) -> str:
        """What it came to, in words."""
        one = self.outcome
        until = "" if not self.grown else f"; the log has grown by {self.grown:,} records since"
        return (
            f"rehearsed {rfc3339(one.at_ms)}: changes {one.changed_verdicts:,} of "
            f"{one.verdicts:,} verdicts, {one.changed_licenses:,} of {one.licenses:,} licenses"
            f"{until}"
        )

    @property
    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {**to_builtins(self.outcome), "grown": self.grown}


async def rehearsed(
    connected: Connection, version: int, *, accept_changes: bool
) -> Standing | None:
    """See that rules `version` were rehearsed, and change nothing or what was accepted.

    None: nothing has happened to any license yet, so there is nothing to rehearse. Raises `Failed`.
    """
    ends = await patiently(lambda: connected.log.ends(Topic.LICENSE_EVENTS))
    if max(ends.values(), default=0) <= 1:
        return None
    kept = await _kept(connected.settings.replicas)
    found = _fitting(connected, kept, version, ends)
    if found is not None and not await _of_this_log(connected.log, found.outcome):
        raise Failed(
            f"rules {version} were rehearsed on a log that was replaced or restored since: run "
            f"`{_how(version)}`"
        )
    if found is None:
        raise Failed(f"rules {version} aren't rehearsed{_instead(kept)}: run `{_how(version)}`")
    changed = found.outcome.changed_verdicts or found.outcome.changed_licenses
    if changed and not accept_changes:
        raise Failed(
            f"rules {version} would have changed what is recorded ({found.said}): "
            f"`{_how(version)}` names it, and --accept-changes activates them all the same"
        )
    return found


async def _kept(urls: Sequence[str]) -> list[Outcome]:
    """What the replicas that answer have kept."""
    found = []
    for url in urls:
        store = Store(url)
        try:
            [document] = await store.get([KEY])
            if document is not None:
                found.append(read_outcome(document))
        except (ReadModelUnavailableError, ValueError):
            # Away, or kept by a release that says more or less than this one: none.
            continue
        finally:
            await store.close()
    return found


def _fitting(
    connected: Connection, kept: Sequence[Outcome], version: int, ends: Mapping[int, int]
) -> Standing | None:
    """Of those of these rules, by this release, of this log: the one that went farthest."""
    standings = [
        Standing(outcome=one, grown=grown)
        for one in kept
        if one.is_of(connected.ledger, version, release())
        and (grown := one.grown(ends)) is not None
    ]
    return min(standings, key=lambda one: one.grown, default=None)


async def _of_this_log(log: EventLog, outcome: Outcome) -> bool:
    """Whether the log still has the last record of each partition that was rehearsed."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def same(partition: int, position: int) -> bool:
        if not position:
            return True
        async with limit:
            record = await record_at(log, Topic.LICENSE_EVENTS, partition, position - 1)
        return record is not None and outcome.ends_with(record)

    return all(await asyncio.gather(*(same(*one) for one in enumerate(outcome.positions))))


def _instead(kept: Sequence[Outcome]) -> str:
    """Name the rehearsal that there is, where it is another one."""
    if not kept:
        return ""
    last = max(kept, key=lambda one: one.at_ms)
    return f" (the last rehearsal was of rules {last.rules} by release {last.release})"


def _how(version: int) -> str:
    return f"ledger rehearse --rules {version}"
