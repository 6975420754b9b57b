"""The sample that a local ledger begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.importing.files import import_files
from cli.importing.progress import Quiet
from cli.importing.scan import Form
from ledger.settings import Settings
from ledger.sources import activity_csv


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What was loaded, in a line, and the key of a license of it."""

    summary: str
    key: str


async def load_sample(settings: Settings, path: Path) -> Loaded:
    """Import the sample; on a ledger that has it already that changes nothing.

    Raises what `import_files` raises.
    """
    form = Form(name=activity_csv.FORM, parser=activity_csv.CsvParser)
    [result] = await import_files(settings, [path], form, {}, Quiet())
    checkouts = sum(one.checkouts for one in result.features)
    named = ", ".join(f"{one.feature} ({one.left} of {one.seats})" for one in result.features)
    return Loaded(
        summary=f"{checkouts} checkouts of {named} seats held",
        key=result.keys[result.features[0].feature],
    )
