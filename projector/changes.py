"""What a batch in the making will write; pure. Every document is rendered once, at its end."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

from ledger.domain.license import License, Machine
from ledger.domain.verdicts import Remembered, Verdict
from projector.read_model.keys import FROZEN, Keys
from projector.read_model.port import BATCH_KEYS_MAX, EVENT_KEYS_MAX
from projector.views.digests import Weigher
from projector.views.documents import license_document, machine_document, verdict_document
from projector.views.set_aside import SetAside, set_aside_member
from projector.writes import Writes

_HEAD_KEYS: Final = 3
"""Head, digests, and the generation that serves."""

LicenseWeights = MutableMapping[str, bytes | tuple[int, int]]
"""By license: its weights, or the document that is yet to be weighed."""
MachineWeights = MutableMapping[str, bytes | int]


class Changes(Writes):
    """Documents, remembered verdicts and index entries that the batch's records changed.

    `licenses`: the changed ones, first change first; None: there is none after all.
    """

    __slots__ = ("_machines", "licenses")

    def __init__(self, keys: Keys, weigher: Weigher) -> None:
        super().__init__(keys, weigher)
        self.licenses: dict[str, License | None] = {}
        self._machines: dict[str, Machine | None] = {}

    @property
    def room(self) -> int:
        """How many more events surely fit into the batch; the first one always does."""
        keys = len(self.licenses) + len(self._machines) + len(self.strings) + len(self.sorted_sets)
        return (BATCH_KEYS_MAX - 1 - _HEAD_KEYS - keys) // EVENT_KEYS_MAX

    def machine(self, account: str, machine: Machine, *, held: bool) -> None:
        """Write a machine and enter it in the indexes, or take it out of all."""
        id_ = machine.id
        self._machines[id_] = machine if held else None
        offset = machine.activated_offset
        self.index(self._keys.machines_of_license(machine.license), id_, offset if held else None)
        member = f"{machine.fingerprint_digest}:{id_}"
        self.index(self._keys.machines_by_fingerprint(account), member, 0 if held else None)
        activated_ms = machine.activated_ms if held else None
        self.index(self._keys.machines_of_account(account), id_, activated_ms)

    def listed(self, before: License | None, after: License) -> None:
        """Move a license in the indexes of its account and policy where it stands elsewhere now."""
        if (
            before is not None
            and before.status == after.status
            and before.policy_version == after.policy_version
            and before.policy == after.policy
            and before.epoch == after.epoch
        ):
            # As after most events: no index has to change.
            return
        was, now = places(self._keys, before), places(self._keys, after)
        for index in was.keys() - now.keys():
            self.index(index, after.id, None)
        for index, score in now.items():
            if was.get(index) != score:
                self.index(index, after.id, score)

    def remember(self, license_: str, command: Remembered, verdict: Verdict) -> bytes:
        """Keep a command's verdict; gives its document."""
        document = verdict_document(verdict)
        self.remember_as(license_, command, document)
        return document

    def frozen(self, license_: str, offset: int) -> None:
        """Enter a license in the list of frozen ones."""
        self.index(self._keys.set_aside(FROZEN), license_, offset)

    def set_aside(self, license_: str, record: SetAside) -> None:
        """Keep a record that isn't folded."""
        key, member = self._keys.set_aside(license_), set_aside_member(record)
        self.index(key, member, record.offset)
        self.state += self._weigher.weigh_set_aside(self._keys.short(key), record.offset, member)

    def thawed(self, license_: str) -> None:
        """Take a license out of the list of frozen ones."""
        self.index(self._keys.set_aside(FROZEN), license_, None)

    def taken_back(self, license_: str, offset: int, member: bytes) -> None:
        """Keep a record set aside no more: it was folded after all, or discarded."""
        key = self._keys.set_aside(license_)
        self.index(key, member, None)
        self.state -= self._weigher.weigh_set_aside(self._keys.short(key), offset, member)

    def render(self, licenses: LicenseWeights, machines: MachineWeights) -> None:
        """Make the documents of all changed licenses and machines.

        `licenses`, `machines`: weights of what the store holds of them, and afterwards of these.
        """
        keys = self._keys
        for id_, license_ in self.licenses.items():
            rendered = None if license_ is None else license_document(license_)
            self.strings[keys.license(id_)] = rendered
            self._weigh_license(id_, rendered, licenses)
        for id_, machine in self._machines.items():
            rendered = None if machine is None else machine_document(machine)
            self.strings[keys.machine(id_)] = rendered
            self._weigh_machine(id_, rendered, machines)

    def _weigh_license(self, id_: str, document: bytes | None, weights: LicenseWeights) -> None:
        name, before = f"L:{id_}", weights.pop(id_, _NOTHING)
        if isinstance(before, bytes):
            before = self._weigher.weigh_license(name, before)
        state, whole = _NOTHING
        if document is not None:
            state, whole = weights[id_] = self._weigher.weigh_license(name, document)
        self.state += state - before[0]
        self.documents += whole - before[1]

    def _weigh_machine(self, id_: str, document: bytes | None, weights: MachineWeights) -> None:
        name, before = f"M:{id_}", weights.pop(id_, 0)
        if isinstance(before, bytes):
            before = self._weigher.weigh(name, before)
        self.state -= before
        if document is not None:
            weight = weights[id_] = self._weigher.weigh(name, document)
            self.state += weight


_NOTHING: Final = (0, 0)


def places(keys: Keys, license_: License | None) -> dict[str, int]:
    """Lists that hold a license, with its scores there; a live one only."""
    if license_ is None or license_.status != "live":
        return {}
    return {
        keys.licenses_of_account(license_.account): license_.issued_ms,
        keys.licenses_of_policy(license_.policy): license_.issued_ms,
        keys.licenses_by_version(license_.policy): license_.policy_version,
    }
