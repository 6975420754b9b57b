"""The folder of orders: whatever lies in it, in whatever number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.emergency.folder import FILES_MAX, Folder, Found
from ledger.emergency.orders import DOCUMENT_BYTES_MAX, encode
from tests.emergency import signed, start
from tests.ledger.domain.given import ACCOUNT, LEDGER


def test_a_folder_that_is_not_there_has_no_orders_until_it_is(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "orders")
    assert folder.look() == []
    with pytest.raises(OSError, match="No such file"):
        folder.keep(signed(start(LEDGER, ACCOUNT)))
    (tmp_path / "orders").mkdir()
    folder.keep(signed(start(LEDGER, ACCOUNT)))
    assert len(folder.look()) == 1


def test_what_is_kept_is_found_once_and_whole(tmp_path: Path) -> None:
    order = signed(start(LEDGER, ACCOUNT))
    folder = Folder(tmp_path)
    for _ in range(2):
        folder.keep(order)
    [found] = folder.look()
    assert found.signed == order
    assert [one.name for one in tmp_path.iterdir()] == [f"{order.order.id}.json"]


def test_what_is_no_order_is_named_and_harms_no_other(tmp_path: Path) -> None:
    order = signed(start(LEDGER, ACCOUNT))
    (tmp_path / "a.json").write_bytes(b"{}")
    (tmp_path / "b.json").write_bytes(b" " * DOCUMENT_BYTES_MAX + encode(order))
    (tmp_path / "c.json").mkdir()
    (tmp_path / "d.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "e.txt").write_bytes(encode(order))
    (tmp_path / "f.json").write_bytes(b"\n " + encode(order) + b"\n")
    found = {one.name: one.signed for one in Folder(tmp_path).look()}
    assert found == {"a.json": None, "b.json": None, "f.json": order}


def test_a_changed_file_is_read_again_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, orders = Folder(tmp_path), [signed(start(LEDGER, ACCOUNT)) for _ in range(2)]
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(encode(orders[0]))
    read: list[str] = []
    reads = Folder._read  # noqa: SLF001 - what is counted

    def counted(self: Folder, name: str) -> Found:
        read.append(name)
        return reads(self, name)

    monkeypatch.setattr(Folder, "_read", counted)
    folder.look()
    (tmp_path / "b.json").write_bytes(encode(orders[1]) + b" ")
    found = {one.name: one.signed for one in folder.look()}
    assert found == {"a.json": orders[0], "b.json": orders[1]}
    assert sorted(read) == ["a.json", "b.json", "b.json"]


def test_of_many_files_those_that_came_last_are_looked_at(tmp_path: Path) -> None:
    order = signed(start(LEDGER, ACCOUNT))
    for number in range(FILES_MAX + 3):
        file = tmp_path / f"{number:03}.json"
        file.write_bytes(encode(order))
        os.utime(file, (number, number))
    names = [one.name for one in Folder(tmp_path).look()]
    assert names == [f"{number:03}.json" for number in range(3, FILES_MAX + 3)]
