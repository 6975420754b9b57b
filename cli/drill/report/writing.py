"""The reports of a drill in a folder, each whole or not at all, and the kept outcome read again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cli.drill.outcome import FORMAT, Outcome
from cli.drill.report.contents import Contents
from cli.drill.report.markdown import markdown
from cli.drill.report.page import page

NAME: Final = "fifth-of-november"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Where the reports are."""

    html: Path
    json: Path
    markdown: Path


def write(outcome: Outcome, folder: Path) -> Written:
    """Write all reports into a folder, which is made where there is none. Raises `OSError`.

    All are made before the first is written, and JSON, of which the others can be made again, is
    written first.
    """
    contents = Contents(outcome)
    as_page, as_markdown = page(contents), markdown(contents)
    as_json = msgspec.json.format(msgspec.json.encode(outcome)).decode() + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    return Written(
        json=_write(folder / f"{NAME}.json", as_json),
        html=_write(folder / f"{NAME}.html", as_page),
        markdown=_write(folder / f"{NAME}.md", as_markdown),
    )


def read(path: Path) -> Outcome:
    """An outcome that was kept as JSON.

    Raises `OSError`, and `msgspec.DecodeError` for what is no outcome, or one of another format.
    """
    outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
    if outcome.format != FORMAT:
        raise msgspec.ValidationError(f"format {outcome.format}, and this reads format {FORMAT}")
    return outcome


def _write(path: Path, text: str) -> Path:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
