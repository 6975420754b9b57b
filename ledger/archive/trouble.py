"""What is wrong with a backup, or with the log that it is of or is to be restored into.

ArchiveError
├── NoBackup        the folder holds no backup, or none that came to its end
├── FolderBusy      another process writes into the folder
├── DamagedBackup   a file isn't what was written: cut off, altered, missing, out of its place
├── UnreadableNote  the note of a run that did not end can't be read
├── OtherFormat     it was made by a version that writes another format
├── ForeignBackup   of another ledger, another N or another pepper
├── OtherLog        the log is not the one that the backup holds the beginning of
└── NotRestorable   what stands in the topics is not what a restore of this backup left there

Each is told in one line, with the way out.
"""

from __future__ import annotations


class ArchiveError(Exception):
    """Trouble with a backup. No message holds a key, a value or a secret."""


class NoBackup(ArchiveError):
    """The folder holds no backup, or none that came to its end."""


class FolderBusy(ArchiveError):
    """Another process writes into the folder."""


class DamagedBackup(ArchiveError):
    """A file of the backup isn't what was written."""

    @property
    def said(self) -> str:
        """What is wrong, without the way out."""
        return str(self.args[0])

    def __str__(self) -> str:
        """Say what is wrong, and the way out."""
        return (
            f"{self.said}. Bring that back from a copy of the backup, or begin a new folder while "
            "the log is there"
        )


class UnreadableNote(ArchiveError):
    """The note of a run that did not end can't be read."""


class OtherFormat(ArchiveError):
    """The backup was made by a version that writes another format."""


class ForeignBackup(ArchiveError):
    """The backup is of another ledger, another N or another pepper."""


class OtherLog(ArchiveError):
    """The log is not the one that the backup holds the beginning of."""


class NotRestorable(ArchiveError):
    """What stands in the topics is not what a restore of this backup left there."""
