"""docs/format.md says what the code does: its tables against constants, and who cites it."""

from __future__ import annotations

import re
from pathlib import Path

import ledger.domain.clocks
import ledger.domain.events
import ledger.domain.identifiers
import ledger.domain.license
import ledger.domain.terms
import ledger.event_log.codec
import projector.read_model.port
from ledger.domain import rules1, verdicts
from ledger.domain.catalog.events import CATALOG_TYPES
from ledger.domain.events import TYPES
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.rebuild import intent, lock
from projector.rebuild.progress import PROGRESS_KEY
from projector.rehearsal import outcome
from tests.ledger.domain.document import FORMAT, headings, tables_of
from tests.ledger.domain.golden_files import FOLDERS
from tests.ledger.domain.schemas import SCHEMAS

ROOT = Path(__file__).parents[3]
MODULES = {
    "clocks": ledger.domain.clocks,
    "codec": ledger.event_log.codec,
    "events": ledger.domain.events,
    "identifiers": ledger.domain.identifiers,
    "license": ledger.domain.license,
    "port": projector.read_model.port,
    "terms": ledger.domain.terms,
}
CODES = {
    value for name, value in vars(verdicts).items() if name.isupper() and isinstance(value, str)
}


def test_the_limits_are_the_codes() -> None:
    [[_, *rows]] = tables_of("Limits")
    assert rows
    for what, value, constant in rows:
        module, name = constant.strip("`").split(".")
        assert int(value.replace(",", "")) == getattr(MODULES[module], name), what


def test_the_verdicts_are_the_codes() -> None:
    [[_, *rows]] = tables_of("Verdicts")
    assert {row[0].strip("`") for row in rows} == CODES


def test_the_golden_logs_come_by_every_verdict() -> None:
    text = "".join((folder / "verdicts.jsonl").read_text() for folder in FOLDERS.values())
    assert set(re.findall(r'"code":"([a-z-]+)"', text)) == CODES


def test_the_types_are_the_codes_and_the_schemas() -> None:
    tables = [rows for [_, *rows] in tables_of("Events")]
    first, second, later = (
        [re.findall(r"`(license\.[a-z-]+)`", row[0])[0] for row in rows] for rows in tables
    )
    assert first == list(rules1.TYPES)
    assert [*first, *second] == list(TYPES)
    assert {*first, *second, *later} == {path.stem for path in SCHEMAS.glob("license.*.json")}


def test_the_types_of_the_catalog_are_the_codes() -> None:
    [[_, *rows]] = tables_of("Types of the catalog")
    names = [re.findall(r"`(catalog\.[a-z-]+)`", row[0])[0] for row in rows]
    assert names == list(CATALOG_TYPES)


def test_the_keys_are_the_codes() -> None:
    [[_, *rows]] = tables_of("State in Redis")
    said = {key for row in rows for key in re.findall(r"`([^`]+)`", row[0])}
    names, catalog = Keys(0, "g"), Keys(keys.CATALOG, "g")
    used = {
        keys.serving(0),
        keys.genesis(0),
        keys.data_key(0, "<license>", "<dk>"),
        keys.data_keys_position(0),
        names.head,
        names.license("<license>"),
        names.machine("<machine>"),
        names.command("<license>", "<command>"),
        names.commands("<license>"),
        names.machines_of_license("<license>"),
        names.licenses_of_account("<account>"),
        names.licenses_of_policy("<policy>"),
        names.licenses_by_version("<policy>"),
        names.machines_by_fingerprint("<account>"),
        names.machines_of_account("<account>"),
        names.set_aside("<license>"),
        names.set_aside(keys.UNROUTABLE),
        names.set_aside(keys.FROZEN),
        keys.serving(keys.CATALOG),
        catalog.head,
        catalog.digests,
        keys.retry_order(0),
        keys.retry_answer(0),
        intent.KEY,
        intent.HOLDER,
        intent.RELEASES,
        intent.CLOSED,
        lock.LAST,
        PROGRESS_KEY,
        outcome.KEY,
        names.digests,
        catalog.entity("<entity>"),
        catalog.claim("<claim>"),
        catalog.entities("<account>", "<kind>"),
        catalog.command("<scope>", "<command>"),
        catalog.commands("<scope>"),
        catalog.scope("<scope>"),
    }
    assert said == {key.replace("{p00}", "{pNN}") for key in used}
    assert keys.serving(7) == "{p07}:serving"


def test_every_link_of_the_document_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", FORMAT.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (FORMAT.parent / link).exists()] == []


def test_every_chapter_that_is_cited_is_there() -> None:
    chapters = set(headings())
    cited = set()
    for package in ("ledger", "projector", "api", "cli", "docs"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".lua", ".md"}:
                # A citation may go on in the next line of a docstring or a comment.
                text = re.sub(r"\s*\n[\s#-]*", " ", path.read_text(encoding="utf-8"))
                for quoted in re.findall(r'format\.md[`)\]]*,? \(?("[^)]*?")\)?', text):
                    cited |= {(path.name, name) for name in re.findall(r'"([^"]+)"', quoted)}
    assert len(cited) > 5
    assert {(path, name) for path, name in cited if name not in chapters} == set()
