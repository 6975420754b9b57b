"""What a release is called: another one where the fold is made of other sources."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

import grimp
import pytest

from projector.release import FOLD, digest, release
from tests.servers import ROOT


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the fold is made of, and of a module that it isn't made of."""
    for name in (*FOLD, "projector/metrics.py"):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return tmp_path


def test_a_build_is_told_from_another_one_of_its_version(copy: Path) -> None:
    built = digest(copy)
    assert release() == f"{version('license-ledger')}+{built}"
    (copy / "projector/metrics.py").write_text("another")
    (copy / "projector/views/x.pyc").write_text("another")
    assert digest(copy) == built
    for name in ("ledger/domain/usage.py", "projector/rebuild/bulk.py", "projector/views/new.py"):
        with (copy / name).open("a") as file:
            file.write("# another build")
        assert digest(copy) != built, name
        built = digest(copy)


def test_all_that_a_fold_imports_counts() -> None:
    graph = grimp.build_graph("ledger", "projector")
    folds = ("projector.folding", "projector.rebuild.bulk", "projector.rehearsal.supposing")
    imported = set[str]().union(folds, *map(graph.find_upstream_modules, folds))
    counted = tuple(name.removesuffix(".py").replace("/", ".") for name in FOLD)
    missing = {
        module
        for module in imported
        if not any(module == one or module.startswith(f"{one}.") for one in counted)
    }
    assert missing == set()
