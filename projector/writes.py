"""What a batch in the making will write, of licenses or of the catalog."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.domain.verdicts import Remembered
from projector.read_model.keys import Keys
from projector.views.digests import Weigher


class Writes:
    """Values by key and members by sorted set: the last word wins, None removes.

    `state`, `documents`: by how much the digests of the partition change (`views.digests`).
    """

    __slots__ = ("_keys", "_weigher", "documents", "sorted_sets", "state", "strings")

    def __init__(self, keys: Keys, weigher: Weigher) -> None:
        self._keys = keys
        self._weigher = weigher
        self.strings: dict[str, bytes | None] = {}
        self.sorted_sets: dict[str, dict[str | bytes, int | None]] = {}
        self.state = 0
        self.documents = 0

    def remember_as(self, owner: str, command: Remembered, verdict: bytes) -> None:
        """Keep the verdict's document on a command in the owner's memory."""
        key = self._keys.command(owner, command.command)
        self.strings[key] = verdict
        member = f"{command.elapsed_ms}:{command.command}"
        self.index(self._keys.commands(owner), member, command.offset)
        name = self._keys.short(key)
        self.state += self._weigher.weigh_command(name, command.elapsed_ms, verdict)

    def forget(
        self,
        owner: str,
        commands: tuple[Remembered, ...],
        verdicts: Mapping[tuple[str, str], bytes],
    ) -> None:
        """Forget commands of the owner's memory, whose documents are among `verdicts`."""
        for old in commands:
            key = self._keys.command(owner, old.command)
            self.strings[key] = None
            self.index(self._keys.commands(owner), f"{old.elapsed_ms}:{old.command}", None)
            document = verdicts[owner, old.command]
            name = self._keys.short(key)
            self.state -= self._weigher.weigh_command(name, old.elapsed_ms, document)

    def index(self, key: str, member: str | bytes, score: int | None) -> None:
        """Enter a member in a sorted set; None takes it out."""
        members = self.sorted_sets.get(key)
        if members is None:
            self.sorted_sets[key] = {member: score}
        else:
            members[member] = score
