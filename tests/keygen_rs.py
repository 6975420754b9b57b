"""The crate keygen-rs, a client of the API that others wrote, built for tests under .cache.

Two things are built: our own program on it (tests/clients/keygen-rs), and the crate's examples,
unchanged, where cargo has unpacked them. Both with the versions that the crate itself was locked
to: they share what they are built from, and no lock of ours names a registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.servers import CACHE, ROOT

CRATE = "keygen-rs"
PROGRAM = "a-vendors-day"
_FOLDER = CACHE / "clients" / CRATE
_MANIFEST = _FOLDER / "Cargo.toml"
_TARGET = CACHE / "clients" / "target"
_FETCH_S = 600.0
_BUILD_S = 1500.0
_FEATURES = ("--no-default-features", "--features", "license-key,token")
_SETTINGS = {
    "CARGO_TARGET_DIR": str(_TARGET),
    # Small: nobody debugs them, and there are many.
    "CARGO_INCREMENTAL": "0",
    "CARGO_PROFILE_DEV_DEBUG": "0",
    "CARGO_PROFILE_DEV_STRIP": "symbols",
}


def fetched() -> Path:
    """Fetch what is needed, the first time; the crate's Cargo.toml as it was published.

    Skips the test where there is no cargo, or the crate can't be had.
    """
    if shutil.which("cargo") is None:
        pytest.skip(f"no cargo: {CRATE} was not tried on the API")
    shutil.copytree(ROOT / "tests" / "clients" / CRATE, _FOLDER, dirs_exist_ok=True)
    lock = _FOLDER / "Cargo.lock"
    is_first = not lock.exists()
    _fetch(_MANIFEST)
    found = _done("metadata", "--offline", "--format-version", "1", manifest=_MANIFEST)
    [crate] = [each for each in json.loads(found)["packages"] if each["name"] == CRATE]
    manifest = Path(crate["manifest_path"])
    if is_first:
        shutil.copyfile(manifest.with_name("Cargo.lock"), lock)
        _fetch(_MANIFEST)
    _fetch(manifest, "--locked")
    return manifest


def built_program() -> Path:
    """Build our program; the executable."""
    fetched()
    _done("build", "--offline", "--locked", manifest=_MANIFEST)
    return _TARGET / "debug" / PROGRAM


def built_examples(names: Sequence[str]) -> Path:
    """Build examples of the crate; their folder."""
    manifest = fetched()
    asked = [part for name in names for part in ("--example", name)]
    _done("build", "--offline", "--locked", *_FEATURES, *asked, manifest=manifest)
    return _TARGET / "debug" / "examples"


def _fetch(manifest: Path, *arguments: str) -> None:
    done = _cargo("fetch", *arguments, manifest=manifest, limit_s=_FETCH_S)
    if done.returncode != 0:
        pytest.skip(f"{CRATE} can't be fetched, so it was not tried on the API: {done.stderr}")


def _done(*arguments: str, manifest: Path) -> str:
    """What cargo wrote. Raises AssertionError with its complaints."""
    done = _cargo(*arguments, manifest=manifest, limit_s=_BUILD_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _cargo(
    command: str, *arguments: str, manifest: Path, limit_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["cargo", command, "--manifest-path", str(manifest), *arguments],
        env={**os.environ, **_SETTINGS},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
        cwd=CACHE,
    )
