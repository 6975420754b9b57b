"""A vendor's export loaded into a ledger in memory: each row once, whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.importing.progress import Quiet
from cli.importing.scan import ImportRefusedError
from cli.importing.vendor import Loaded, VendorImport
from cli.importing.vendor_scan import check_apart, in_order, scan, write_rejects
from ledger.domain.events import Event, Revoked
from ledger.domain.identifiers import license_id, slug_id
from ledger.domain.license import License
from ledger.event_log.codec import encode
from ledger.event_log.port import Topic
from tests.cli.importing.memory import (
    ALLOWING,
    ANOTHERS,
    LEDGER,
    NOW_MS,
    POLICY,
    SETTINGS,
    KilledError,
    Ledger,
)

LICENSES = "key,name,max_machines,expiry,suspended,metadata.order"
MACHINES = "license,fingerprint,hostname,name,seats,activated_at"
ACCOUNT = slug_id(LEDGER, "account", SETTINGS.catalog.account)


def write(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


async def load(
    ledger: Ledger, *paths: Path, policy: str | None = POLICY, dry_run: bool = False
) -> dict[str, Loaded]:
    """What a new process makes of the files."""
    importer = VendorImport(ledger.connection(), policy)
    tables = in_order(scan(path, SETTINGS.pepper) for path in paths)
    check_apart(tables)
    looked = await importer.look(tables, Quiet(), foresee=dry_run)
    if dry_run:
        return {one.table.kind: one for one in looked}
    loaded = [await importer.load(table, lambda _: None) for table in tables]
    for one in loaded:
        if one.table.kind == "licenses":
            await importer.suspend(one)
    return {one.table.kind: one for one in loaded}


def counts(loaded: Loaded) -> tuple[int, int, list[int]]:
    return loaded.added, loaded.before, sorted(loaded.table.bad_lines)


async def state(ledger: Ledger, key: str) -> License:
    history = await ledger.history(license_id(SETTINGS.pepper, ACCOUNT, key))
    assert history.license is not None
    return history.license


def reasons(loaded: Loaded) -> Mapping[int, str]:
    return {one.line: one.reason for one in loaded.table.bad}


def license_row(number: int, seats: int = 2, *, suspended: bool = False) -> str:
    return f"KEY-{number:04d},L{number},{seats},,{'yes' if suspended else ''},{number}"


def machine_row(number: int, name: str) -> str:
    return f"KEY-{number:04d},{name},host-{name},,,2024-05-05"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@settings(max_examples=40, deadline=None)
@given(
    licenses=st.integers(1, 6),
    machines=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=20),
    kills=st.lists(st.integers(0, 40), max_size=4),
)
async def test_killed_anywhere_and_run_again_it_ends_as_if_nothing_had_been(
    licenses: int, machines: Sequence[tuple[int, int]], kills: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        rows = [license_row(n, suspended=n == 1) for n in range(licenses)]
        named = [machine_row(number, f"m{name}") for number, name in machines]
        paths = [write(Path(directory) / "l.csv", LICENSES, *rows)]
        if named:
            paths.append(write(Path(directory) / "m.csv", MACHINES, *named))
        whole, harmed = Ledger(), Ledger()
        await load(whole, *paths)
        for appends in kills:
            harmed.log.kill_after = appends
            try:
                await load(harmed, *paths)
            except* KilledError:
                pass
        harmed.log.kill_after = None
        await load(harmed, *paths)
        for number in range(licenses):
            ours, theirs = [await state(one, f"KEY-{number:04d}") for one in (whole, harmed)]
            assert (ours.machines, ours.seats_held, ours.suspended, ours.limit) == (
                theirs.machines,
                theirs.seats_held,
                theirs.suspended,
                theirs.limit,
            )
        size = await harmed.size()
        again = await load(harmed, *paths)
        assert {one.added for one in again.values()} == {0}
        assert await harmed.size() == size


async def test_licenses_machines_and_suspensions_are_loaded_in_their_order(folder: Path) -> None:
    ledger = Ledger()
    licenses = write(
        folder / "l.csv",
        LICENSES,
        "KEY-0001,ACME,2,2030-12-31,yes,4711",
        "KEY-0002,Beta,,,,",
    )
    machines = write(folder / "m.csv", MACHINES, machine_row(1, "a"), machine_row(1, "b"))
    done = await load(ledger, machines, licenses)
    assert (counts(done["licenses"]), counts(done["machines"])) == ((2, 0, []), (2, 0, []))
    assert done["licenses"].suspended == 1
    first = await state(ledger, "KEY-0001")
    assert (first.name, first.limit, first.seats_held, first.suspended) == ("ACME", 2, 2, True)
    assert first.metadata == '{"order":"4711"}'
    assert first.expiry_ms == 1_924_992_000_000
    assert (await state(ledger, "KEY-0002")).limit is None
    entries = (await ledger.history(first.id)).entries
    events = [entry.event for entry in entries if entry.event is not None]
    assert [event.occurred_at_ms for event in events] == [None, *[1_714_867_200_000] * 2, None]
    assert {entry.verdict.code for entry in entries if entry.verdict} == {"granted"}


async def test_what_the_ledger_refuses_is_told_by_line_and_the_rest_is_loaded(folder: Path) -> None:
    ledger = Ledger()
    licenses = write(
        folder / "l.csv", LICENSES, license_row(1, 1), "KEY-0002,Old,5,2020-01-01,,", license_row(3)
    )
    machines = write(
        folder / "m.csv",
        MACHINES,
        machine_row(1, "a"),
        machine_row(1, "b"),
        machine_row(2, "c"),
        machine_row(9, "d"),
        machine_row(3, "e"),
    )
    done = (await load(ledger, licenses, machines))["machines"]
    assert counts(done) == (2, 0, [3, 4, 5])
    told = reasons(done)
    columns = [(one.column, one.value) for one in sorted(done.table.bad, key=lambda one: one.line)]
    key = "(8 characters)"
    assert columns == [("seats", "1"), ("license", key), ("license", key)]
    assert "1 of 1 are held" in told[3]
    assert "expired" in told[4]
    assert "no license with this key" in told[5]
    # Asked for once: the refusal is a fact, and not counted again.
    assert counts((await load(ledger, licenses, machines))["machines"]) == (0, 4, [5])
    assert (await state(ledger, "KEY-0001")).refusals == {"machine-limit-exceeded": 1}


async def test_a_dry_run_says_what_would_be_and_writes_nothing(folder: Path) -> None:
    ledger = Ledger()
    licenses = write(folder / "l.csv", LICENSES, license_row(1), "x,,,,,", license_row(2))
    machines = write(folder / "m.csv", MACHINES, machine_row(1, "a"), machine_row(7, "b"))
    told = await load(ledger, licenses, machines, dry_run=True)
    assert counts(told["licenses"]) == (2, 0, [3])
    assert counts(told["machines"]) == (1, 0, [3])
    for topic in Topic:
        assert not any((await ledger.log.ends(topic)).values())


async def test_a_dry_run_foresees_which_machines_their_licenses_would_refuse(folder: Path) -> None:
    ledger = Ledger()
    licenses = write(
        folder / "l.csv",
        f"policy,{LICENSES}",
        f",{license_row(1, 1)}",
        ",KEY-0002,Old,5,2020-01-01,,",
        f"{ALLOWING},KEY-0003,Old and open,,2020-01-01,,",
    )
    machines = write(
        folder / "m.csv",
        MACHINES,
        machine_row(1, "a"),
        machine_row(1, "b"),
        machine_row(2, "c"),
        *(machine_row(3, f"d{number}") for number in range(4)),
    )
    told = (await load(ledger, licenses, machines, dry_run=True))["machines"]
    done = (await load(ledger, licenses, machines))["machines"]
    assert counts(told) == counts(done) == (4, 0, [3, 4, 8])
    assert told.table.bad == done.table.bad
    # And of what is there already.
    more = write(folder / "n.csv", MACHINES, machine_row(3, "x"), machine_row(1, "a"))
    told = (await load(ledger, more, dry_run=True))["machines"]
    assert counts(told) == (0, 1, [2])
    assert "3 of 3 are held" in reasons(told)[2]


async def test_a_license_is_under_the_policy_of_its_row_or_else_of_all(folder: Path) -> None:
    ledger = Ledger()
    rows = (f"KEY-0001,{ALLOWING.upper()}", "KEY-0002,", f"KEY-0003,{ANOTHERS}", "KEY-0004,Yearly")
    licenses = write(folder / "l.csv", "key,policy", *rows)
    done = (await load(ledger, licenses, policy=None))["licenses"]
    assert counts(done) == (1, 0, [3, 4, 5])
    bad = [(one.column, one.value) for one in sorted(done.table.bad, key=lambda one: one.line)]
    assert bad == [("policy", ""), ("policy", ANOTHERS), ("policy", "yearly")]
    assert "--policy" in reasons(done)[3]
    first = await state(ledger, "KEY-0001")
    assert (first.policy, first.policy_version, first.limit) == (ALLOWING, 4, 3)
    assert counts((await load(ledger, licenses))["licenses"]) == (1, 1, [4, 5])
    assert (await state(ledger, "KEY-0002")).policy == POLICY


async def test_a_policy_of_later_rules_than_are_active_takes_no_licenses(folder: Path) -> None:
    ledger, path = Ledger(), write(folder / "l.csv", LICENSES, license_row(1))
    ledger.replicas.active_rules = 1
    done = (await load(ledger, path, policy=ALLOWING))["licenses"]
    assert counts(done) == (0, 0, [2])
    assert "`ledger rules`" in reasons(done)[2]
    assert counts((await load(ledger, path))["licenses"]) == (1, 0, [])


@pytest.mark.parametrize("policy", [None, "nobody", ANOTHERS])
async def test_without_a_policy_that_is_there_nothing_is_imported(
    folder: Path, policy: str | None
) -> None:
    ledger, path = Ledger(), write(folder / "l.csv", LICENSES, license_row(1))
    with pytest.raises(ImportRefusedError, match="`ledger policy list`"):
        await load(ledger, path, policy=policy)
    assert await ledger.size() == 0


async def test_a_grown_file_goes_on_and_a_shorter_one_changes_nothing(folder: Path) -> None:
    ledger, path = Ledger(), folder / "l.csv"
    await load(ledger, write(path, LICENSES, license_row(1)))
    grown = await load(ledger, write(path, LICENSES, license_row(1), license_row(2)))
    assert counts(grown["licenses"]) == (1, 1, [])
    size = await ledger.size()
    await load(ledger, write(path, LICENSES, license_row(1)))
    assert await ledger.size() == size


@pytest.mark.parametrize("change", ["edited", "moved"])
async def test_changed_earlier_lines_are_refused_and_nothing_is_sent(
    folder: Path, change: str
) -> None:
    ledger, path = Ledger(), folder / "l.csv"
    rows = [license_row(number) for number in range(1, 5)]
    await load(ledger, write(path, LICENSES, *rows))
    size = await ledger.size()
    other = license_row(3, 9) if change == "edited" else license_row(8)
    changed = [*rows[:2], other, *rows[2 + (change == "edited") :], license_row(9)]
    with pytest.raises(ImportRefusedError, match="earlier lines were changed"):
        await load(ledger, write(path, LICENSES, *changed))
    assert await ledger.size() == size


async def test_a_license_from_elsewhere_is_left_as_it_is_and_a_revoked_one_stays_so(
    folder: Path,
) -> None:
    ledger = Ledger()
    await load(ledger, write(folder / "a.csv", LICENSES, license_row(1, 5), license_row(2, 5)))
    second = await state(ledger, "KEY-0002")
    event = Event(
        id="00000000-0000-8000-8000-000000000001",
        source="api",
        license=second.id,
        time_ms=NOW_MS,
        actor="token:0",
        content_digest="0" * 32,
        data=Revoked(),
    )
    partition = int(second.id[-3:], 16) % SETTINGS.partitions
    await ledger.log.append(
        Topic.LICENSE_EVENTS, partition, key=second.id.encode(), value=encode(event)
    )
    other = write(folder / "b.csv", LICENSES, license_row(3), license_row(1, 9), license_row(2, 9))
    done = (await load(ledger, other))["licenses"]
    assert counts(done) == (1, 1, [4])
    assert "revoked" in reasons(done)[4]
    assert (await state(ledger, "KEY-0001")).limit == 5
    assert (await state(ledger, "KEY-0002")).status == "revoked"


async def test_a_machine_that_is_there_takes_no_second_seat(folder: Path) -> None:
    ledger = Ledger()
    licenses = write(folder / "l.csv", LICENSES, license_row(1))
    await load(ledger, licenses, write(folder / "a.csv", MACHINES, machine_row(1, "a")))
    again = "KEY-0001,a,,,2,"
    done = await load(ledger, write(folder / "b.csv", MACHINES, machine_row(1, "b"), again))
    assert counts(done["machines"]) == (1, 0, [3])
    assert "holds 1 seats" in reasons(done["machines"])[3]
    assert (await state(ledger, "KEY-0001")).refusals == {}


async def test_without_clocks_to_compare_nothing_is_written(folder: Path) -> None:
    ledger = Ledger()
    ledger.replicas.clocks_ms = []
    with pytest.raises(ImportRefusedError, match="clock"):
        await load(ledger, write(folder / "l.csv", LICENSES, license_row(1)))
    assert await ledger.size() == 0


async def test_nothing_personal_is_in_the_log(folder: Path) -> None:
    ledger = Ledger()
    licenses = write(folder / "l.csv", LICENSES, license_row(1))
    machines = write(folder / "m.csv", MACHINES, "KEY-0001,finger-print,host-name,my-name,1,")
    await load(ledger, licenses, machines)
    for topic in Topic:
        for partition in await ledger.log.ends(topic):
            async for records in ledger.log.read(topic, partition, start=0):
                for value in (record.value or b"" for record in records):
                    for word in (b"KEY-0001", b"finger-print", b"host-name", b"my-name"):
                        assert word not in value


async def test_rejects_are_the_bad_rows_as_they_stand_to_be_mended(folder: Path) -> None:
    ledger = Ledger()
    path = write(folder / "l.csv", LICENSES, license_row(1), 'KEY-0002,"a', "KEY-0003,x,no,,,")
    done = (await load(ledger, path))["licenses"]
    rejects = folder / "rejects.csv"
    write_rejects(done.table, rejects)
    assert rejects.read_text().splitlines() == [LICENSES, 'KEY-0002,"a', "KEY-0003,x,no,,,"]
    assert rejects.stat().st_mode & 0o077 == 0
    with pytest.raises(ImportRefusedError, match="rejects"):
        write_rejects(done.table, rejects)
    rejects.write_text(rejects.read_text().replace(',"a', ",a,,,,").replace(",no,", ",3,"))
    assert counts((await load(ledger, rejects))["licenses"]) == (2, 0, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "empty"), ("name\nx\n", "column key"), ("key,name\nK,\xe9\n", "iconv")],
)
def test_a_file_that_cannot_be_one_is_refused_by_name(
    folder: Path, content: str, told: str
) -> None:
    path = folder / "x.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ImportRefusedError, match=told) as raised:
        scan(path, SETTINGS.pepper)
    assert str(path) in str(raised.value)


def test_a_file_with_no_good_row_is_all_bad_and_the_same_file_twice_is_refused(
    folder: Path,
) -> None:
    table = scan(write(folder / "a.csv", LICENSES, "x,,,,,"), SETTINGS.pepper)
    assert (table.moves, table.bad_lines) == (0, {2})
    check_apart([table, table])
    good = scan(write(folder / "b.csv", LICENSES, license_row(1)), SETTINGS.pepper)
    with pytest.raises(ImportRefusedError, match="twice"):
        check_apart([good, good])
