import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from cli.drill.losses import DEFINITION
from cli.drill.outcome import Moment, Outcome, PhaseName
from cli.drill.report import read, summary_lines, write
from cli.drill.report.contents import Contents
from cli.drill.report.real_day import beside
from tests.cli.drill.outcomes import FAILING, NO_VOLUME, figures, outcome_of

TOO_LITTLE = {**FAILING, PhaseName.LOCK: (0.25, 1.0)}
BROKEN = {PhaseName.DEATH: (0.05, 0.25)}
OUTCOMES = {
    "passed": outcome_of(),
    "without a disk": outcome_of(disk=False),
    "proves nothing": outcome_of(failing=TOO_LITTLE),
    "did not hold": outcome_of(ledger_failing=BROKEN),
}
EVERY = pytest.mark.parametrize("outcome", OUTCOMES.values(), ids=OUTCOMES.keys())
_WITHOUT_END = {"meta", "br", "path", "rect"}


def page_of(outcome: Outcome, folder: Path) -> str:
    return write(outcome, folder).html.read_text(encoding="utf-8")


def words(html: str) -> str:
    """A page as it is read: no marks, one space between words."""
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def markdown_of(outcome: Outcome, folder: Path) -> str:
    return write(outcome, folder).markdown.read_text(encoding="utf-8")


@EVERY
def test_the_kept_outcome_is_read_as_it_was(outcome: Outcome, tmp_path: Path) -> None:
    assert read(write(outcome, tmp_path / "new" / "folder").json) == outcome


def test_another_format_is_not_read(tmp_path: Path) -> None:
    written = write(outcome_of(), tmp_path)
    kept = msgspec.json.decode(written.json.read_bytes())
    written.json.write_bytes(msgspec.json.encode(kept | {"format": 2}))
    with pytest.raises(msgspec.DecodeError, match="format 2"):
        read(written.json)


def test_a_report_that_cannot_be_written_leaves_the_old_one_and_no_scraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(outcome_of(), tmp_path).html.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(outcome_of(disk=False), tmp_path)
    assert (tmp_path / "fifth-of-november.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fifth-of-november.html",
        "fifth-of-november.json",
        "fifth-of-november.md",
    ]


@EVERY
def test_page_and_markdown_say_every_figure(outcome: Outcome, tmp_path: Path) -> None:
    page, ticket = words(page_of(outcome, tmp_path)), markdown_of(outcome, tmp_path)
    for phase, letter in zip(outcome.phases, "ABCDEFGHI", strict=True):
        if phase.skipped is not None:
            continue
        both = [
            next(one for one in side.phases if one.phase is phase.name) for side in outcome.sides
        ]
        for counted in (
            [(one.checks_failed, one.checks) for one in both],
            [(one.activations_failed, one.activations) for one in both],
            [(one.launches - one.started, one.launches) for one in both],
        ):
            said = [(f"{part:,} of {whole:,}", f"{part / whole:.0%}") for part, whole in counted]
            cells = " ".join(f"{text} {share[:-1]} %" for text, share in said)
            assert f"{letter} {phase.title} {cells} " in page
            cells = " | ".join(f"{text} ({share[:-1]} %)" for text, share in said)
            assert f"| {letter} {phase.title} | {cells} |" in ticket.replace("**", "")
        for kind, times in (pair for one in both for pair in one.answers.items()):
            assert f"{kind} {times:,}" in page
            assert f"{kind}: {times:,}" in ticket
    for text in (
        *(phase.about for phase in outcome.phases),
        *outcome.not_reproduced,
        outcome.tier,
        outcome.machine.separated,
        "20 a second on each side",
        "2 s, then its request has failed",
        "5 November 2026, 08:00 UTC",
        DEFINITION,
    ):
        assert text in page
        assert text.replace("_", "\\_") in ticket
    for version in ("Postgres 15.18", "Python 3.11.2", "Kafka 4.3.1", "ledger 0.1.0"):
        assert version in page
        assert version in ticket


def test_a_phase_in_which_nothing_was_sent_has_dashes(tmp_path: Path) -> None:
    outcome = outcome_of()
    naive, ledger = outcome.sides
    idle = [
        figures(one.phase, checks=0, activations=0) if one.phase is PhaseName.LOCK else one
        for one in naive.phases
    ]
    without = [one for one in ledger.phases if one.phase is not PhaseName.LOCK]
    outcome = replace(outcome, sides=[replace(naive, phases=idle), replace(ledger, phases=without)])
    page, ticket = words(page_of(outcome, tmp_path)), markdown_of(outcome, tmp_path)
    assert page.count("E Locked \u2013 \u2013 F Hung") == 4
    assert page.count("E Locked \u2013 \u2013 \u2013 \u2013 F Hung") == 2
    assert "| E Locked | \u2013 | \u2013 |" in ticket
    lock = next(line for line in summary_lines(outcome) if line.startswith("lock"))
    assert lock.split() == ["lock", *["\u2013"] * 6]


def test_latencies_before_and_during_stand_in_one_table(tmp_path: Path) -> None:
    page, ticket = words(page_of(outcome_of(), tmp_path)), markdown_of(outcome_of(), tmp_path)
    assert "A All is well 2.3 8.8 2.3 8.8 B Reindex 1,234 2,000 2.3 8.8" in page
    assert "| A All is well | 2.3 | 8.8 | 2.3 | 8.8 |\n| B Reindex | 1,234 | 2,000 |" in ticket


def test_the_headline_tells_minutes_and_verdict(tmp_path: Path) -> None:
    page, ticket = words(page_of(outcome_of(), tmp_path)), markdown_of(outcome_of(), tmp_path)
    headline = "The naive service went down as the vendor's did; the ledger held."
    for text in (page, ticket):
        assert headline in text
        assert "100 % while the table was locked, 90 % while the database hung" in text
        assert "75 % while the disk was full" in text
        assert "it failed 0 of 2,280 checks and 0 of 432 activations" in text
    assert "Naive service 1,234 min launch-minutes lost" in page
    assert "The ledger 0 min launch-minutes lost" in page
    assert "| Naive service | **1,234** |" in ticket
    assert "| The ledger | **0** |" in ticket


@pytest.mark.parametrize(
    ("name", "headline", "reason"),
    [
        (
            "proves nothing",
            "This drill proves nothing.",
            (
                "The naive service failed 60 of 240 checks while the table was locked "
                "(25 %, more than 40 % is needed): this drill proves nothing."
            ),
        ),
        (
            "did not hold",
            "The naive service went down as the vendor's did; the ledger did not hold.",
            (
                "The ledger failed 12 of 240 checks while the database was dead "
                "(5 %, none is allowed)."
            ),
        ),
    ],
)
def test_what_is_missing_is_said_everywhere(
    name: str, headline: str, reason: str, tmp_path: Path
) -> None:
    outcome = OUTCOMES[name]
    for text in (
        words(page_of(outcome, tmp_path)),
        markdown_of(outcome, tmp_path),
        "\n".join(summary_lines(outcome)),
    ):
        assert headline in text
        assert reason in text


def test_a_skipped_disk_is_said_everywhere_and_no_proof_rests_on_it(tmp_path: Path) -> None:
    outcome = OUTCOMES["without a disk"]
    for text in (
        words(page_of(outcome, tmp_path)),
        markdown_of(outcome, tmp_path),
        "\n".join(summary_lines(outcome)),
    ):
        assert NO_VOLUME in text
        assert "while the disk was full" not in text
        assert "skipped" in text


def test_the_real_day_stands_beside_what_was_measured(tmp_path: Path) -> None:
    page, ticket = words(page_of(outcome_of(), tmp_path)), markdown_of(outcome_of(), tmp_path)
    for text in (page, ticket):
        for fact in ("08:00", "08:20", "08:50", "09:38, 10:20, 11:00", "140 GB"):
            assert fact in text
    assert "naive 60 of 60 paid ones started (100 %), 0 of 60 free ones (0 %)" in page
    assert "naive 48 of 240 succeeded (20 %) ledger 240 of 240 succeeded (100 %)" in page
    assert "E Locked: naive failed 240 of 240 checks, 48 of 48 activations; ledger failed" in ticket


def test_every_phase_that_breaks_something_stands_beside_the_real_day_once() -> None:
    rows = beside(Contents(outcome_of()))
    told = [one.phase.name for row in rows for one in row.measured if one.phase is not None]
    assert told == [name for name in PhaseName if name is not PhaseName.HEALTHY]
    rush = next(row for row in rows if row.at == "11:00").measured[0]
    assert rush.naive == "failed 108 of 360 checks, 24 of 48 activations"
    assert rush.ledger == "failed 0 of 360 checks, 0 of 48 activations"


def test_text_of_others_does_nothing_but_be_read(tmp_path: Path) -> None:
    evil = "<script>alert('1')</script> | *x* \x1b[31m\n# no heading"
    outcome = outcome_of(moments=[Moment(at_s=3.0, text=evil)])
    page, ticket = page_of(outcome, tmp_path), markdown_of(outcome, tmp_path)
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; | *x* \ufffd[31m # no heading" in page
    assert r"\<script\>alert('1')\</script\> \| \*x\* " in ticket
    assert "\n# no heading" not in ticket
    assert "\x1b" not in page + ticket


@EVERY
def test_the_page_asks_for_nothing_outside_itself(outcome: Outcome, tmp_path: Path) -> None:
    page = page_of(outcome, tmp_path)
    assert not re.search(r"https?://|src=|@import|<script|<link", page)
    assert set(re.findall(r"url\((.)", page)) == {"#"}
    assert set(re.findall(r'href="(.)', page)) == {"#"}


class Structure(HTMLParser):
    """What is open, which ids there are, and what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headers_without_scope = 0
        self.named: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        if said.get("id"):
            self.ids.append(said["id"] or "")
        self.named += (said.get("aria-labelledby") or "").split()
        self.headers_without_scope += tag == "th" and "scope" not in said
        if tag not in _WITHOUT_END:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _WITHOUT_END:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@EVERY
def test_the_page_is_sound_and_can_be_read_aloud(outcome: Outcome, tmp_path: Path) -> None:
    page, structure = page_of(outcome, tmp_path), Structure()
    structure.feed(page)
    assert structure.open == []
    assert len(structure.ids) == len(set(structure.ids))
    assert structure.named
    assert set(structure.named) <= set(structure.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(structure.ids)
    assert structure.headers_without_scope == 0
    assert '<html lang="en">' in page


def test_markdown_shows_the_drill_as_a_strip(tmp_path: Path) -> None:
    ticket = markdown_of(outcome_of(), tmp_path)
    block = ticket.split("```text\n")[1].split("\n```")[0].splitlines()
    phases, naive, _, ledger, _ = (line[8:].removesuffix("  launches") for line in block)
    assert phases == "".join(letter * 6 for letter in "ABCDEFGHI")
    assert ledger == "\u2588" * 54
    assert naive[:6] == "\u2588" * 6
    assert naive[6 * 6 : 7 * 6] == "\u00b7" * 6


@EVERY
def test_tables_of_markdown_have_as_many_cells_in_each_row(
    outcome: Outcome, tmp_path: Path
) -> None:
    for part in markdown_of(outcome, tmp_path).split("\n\n"):
        if part.startswith("|"):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in part.splitlines()}
            assert len(cells) == 1, part


@EVERY
def test_the_last_words_are_plain_and_stand_under_each_other(outcome: Outcome) -> None:
    lines = summary_lines(outcome)
    assert all(line.isprintable() for line in lines)
    head = next(at for at, line in enumerate(lines) if line.startswith("phase"))
    table = lines[head - 1 : head + 1 + len(outcome.phases)]
    assert len({len(line) for line in table}) == 1
    assert len(table[0]) <= 80
    lock = next(line for line in table if line.startswith("lock"))
    naive = next(one for one in outcome.sides[0].phases if one.phase is PhaseName.LOCK)
    assert f"{naive.checks_failed} of {naive.checks}" in lock
    assert "2,000" in lock
