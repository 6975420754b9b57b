"""What a batch in the making will write, of licenses or of the catalog."""

from __future__ import annotations

from ledger.domain.verdicts import Remembered
from projector.read_model.keys import Keys


class Writes:
    """Values by key and members by sorted set: the last word wins, None removes."""

    __slots__ = ("_keys", "sorted_sets", "strings")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.strings: dict[str, bytes | None] = {}
        self.sorted_sets: dict[str, dict[str | bytes, int | None]] = {}

    def remember_as(self, owner: str, command: Remembered, verdict: bytes) -> None:
        """Keep the verdict's document on a command in the owner's memory."""
        self.strings[self._keys.command(owner, command.command)] = verdict
        member = f"{command.elapsed_ms}:{command.command}"
        self.index(self._keys.commands(owner), member, command.offset)

    def forget(self, owner: str, commands: tuple[Remembered, ...]) -> None:
        """Forget commands of the owner's memory."""
        for old in commands:
            self.strings[self._keys.command(owner, old.command)] = None
            self.index(self._keys.commands(owner), f"{old.elapsed_ms}:{old.command}", None)

    def index(self, key: str, member: str | bytes, score: int | None) -> None:
        """Enter a member in a sorted set; None takes it out."""
        members = self.sorted_sets.get(key)
        if members is None:
            self.sorted_sets[key] = {member: score}
        else:
            members[member] = score
