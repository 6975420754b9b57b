"""A replica in dicts: folds one event after the other on what it has stored, as bytes.

It stores as the projector does and shares nothing with it, so the two can be compared.
"""

from __future__ import annotations

from ledger.domain.clocks import PartitionClock
from ledger.domain.events import Event
from ledger.domain.license import FORGOTTEN_MAX, Folded, License, Loaded, Machine, fold
from ledger.domain.verdicts import Remembered, Verdict
from projector.views.documents import (
    license_document,
    machine_document,
    read_license,
    read_machine,
    read_verdict,
    verdict_document,
)


class Replica:
    """Documents of any number of licenses; each event finds them as they were read back."""

    def __init__(self) -> None:
        self.licenses: dict[str, bytes] = {}
        self.machines: dict[str, bytes] = {}
        self.verdicts: dict[tuple[str, str], bytes] = {}
        self.memory: dict[str, list[Remembered]] = {}
        self.offset = 0
        self.elapsed_ms = 0
        self._clock = PartitionClock()

    def tick(self, timestamp_ms: int) -> None:
        """Let the broker's clock show another time."""
        self._clock = self._clock.advance(timestamp_ms)
        self.elapsed_ms = self._clock.elapsed_ms

    def take(self, event: Event) -> Verdict:
        """Fold the next event."""
        return self.folded(event).verdict

    def take_all(self, *events: Event) -> list[str]:
        """Fold events; their verdicts' codes."""
        return [self.take(event).code for event in events]

    def folded(self, event: Event) -> Folded:
        """Fold the next event, store what it made, and give it whole."""
        result = fold(event, self.offset, self.elapsed_ms, self._loaded(event))
        if result.changed:
            self._store(event, result)
        self.offset += 1
        return result

    def license(self, license_: str) -> License:
        return read_license(self.licenses[license_])

    def machine(self, machine: str) -> Machine | None:
        document = self.machines.get(machine)
        return None if document is None else read_machine(document)

    def state(self) -> dict[str, object]:
        """All that is stored, to compare."""
        return {
            "licenses": dict(self.licenses),
            "machines": dict(self.machines),
            "verdicts": dict(self.verdicts),
            "memory": {name: list(kept) for name, kept in self.memory.items()},
        }

    def _loaded(self, event: Event) -> Loaded:
        license_ = self.licenses.get(event.license)
        verdict = self.verdicts.get((event.license, event.id))
        return Loaded(
            license=None if license_ is None else read_license(license_),
            machine=self.machine(getattr(event.data, "machine", "")),
            remembered=None if verdict is None else read_verdict(verdict),
            oldest=self.memory.get(event.license, [])[:FORGOTTEN_MAX],
        )

    def _store(self, event: Event, result: Folded) -> None:
        self.licenses[event.license] = license_document(result.license)
        if result.machine_changed:
            if result.machine is None:
                del self.machines[getattr(event.data, "machine", "")]
            else:
                self.machines[result.machine.id] = machine_document(result.machine)
        if result.remember:
            self._remember(event, result)

    def _remember(self, event: Event, result: Folded) -> None:
        kept = self.memory.setdefault(event.license, [])
        assert list(result.forget) == kept[: len(result.forget)], "forgets from the front"
        for old in result.forget:
            del self.verdicts[event.license, old.command]
        del kept[: len(result.forget)]
        self.verdicts[event.license, event.id] = verdict_document(result.verdict)
        kept.append(Remembered(offset=self.offset, elapsed_ms=self.elapsed_ms, command=event.id))
