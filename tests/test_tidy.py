"""Keeps house: rules that no other tool holds, over every file that git knows.

Each rule is a function from a file's path and text to complaints. Where a rule's needle may not
stand in any file, it does not stand in this one either: a class of one letter, `[.]`, breaks it up.
"""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ledger", "projector", "api", "cli", "license_client", "bench")
MAX_PYTHON_LINES = 400

Rule = Callable[[PurePosixPath, str], Iterator[str]]

_MACHINE_PATHS = re.compile(r"(?<![\w.])[/](root|home|Users|work|opt/wheels)[/](?!\s)")
_REGISTRIES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|repo1?[.]maven[.]|registry[.]npmjs|crates[.]io|docker[.]io"
    r"|pkg[.]dev|proxy[.]golang|deb[.]debian"
)
_LATER = re.compile(r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b")
_BRITISH = re.compile(
    r"licen[c]e|behavio[u]r|\bcolo[u]r|(serial|normal|initial)i[s](e|ing|ation)",
    re.IGNORECASE,
)
_VAGUE_NAMES = re.compile(r"(^|_)(utils?|helpers?|commons?|managers?|misc)($|_)")
_TALKATIVE = ("cli", "bench")


def no_machine_paths(_: PurePosixPath, text: str) -> Iterator[str]:
    yield from _found(_MACHINE_PATHS, text, "a path of one machine")


def no_registries(_: PurePosixPath, text: str) -> Iterator[str]:
    yield from _found(_REGISTRIES, text, "the address of a package registry")


def nothing_for_later(_: PurePosixPath, text: str) -> Iterator[str]:
    yield from _found(_LATER, text, "a note for later")


def us_spelling(_: PurePosixPath, text: str) -> Iterator[str]:
    yield from _found(_BRITISH, text, "not the US spelling")


def clean_line_ends(_: PurePosixPath, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield f"line {number} ends in whitespace"
    if text and (not text.endswith("\n") or text.endswith("\n\n")):
        yield "does not end with one newline"


def telling_names(path: PurePosixPath, _: str) -> Iterator[str]:
    if path.suffix == ".py":
        for part in path.with_suffix("").parts:
            if _VAGUE_NAMES.search(part):
                yield f"{part} does not say what is inside"


def short_python(path: PurePosixPath, text: str) -> Iterator[str]:
    lines = text.count("\n")
    if path.suffix == ".py" and lines > MAX_PYTHON_LINES:
        yield f"has {lines} lines, more than {MAX_PYTHON_LINES}"


def docstrings(path: PurePosixPath, text: str) -> Iterator[str]:
    if path.suffix == ".py" and path.parts[0] in PACKAGES and not ast.get_docstring(_parsed(text)):
        yield "has no docstring"


def no_swallowed_errors(path: PurePosixPath, text: str) -> Iterator[str]:
    if path.suffix != ".py":
        return
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node) and _does_nothing(node):
            yield f"line {node.lineno} swallows every error"


def no_print(path: PurePosixPath, text: str) -> Iterator[str]:
    if path.suffix != ".py" or path.parts[0] in _TALKATIVE:
        return
    for node in ast.walk(_parsed(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            yield f"line {node.lineno} prints"


RULES: tuple[Rule, ...] = (
    no_machine_paths,
    no_registries,
    nothing_for_later,
    us_spelling,
    clean_line_ends,
    telling_names,
    short_python,
    docstrings,
    no_swallowed_errors,
    no_print,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    complaints = [
        f"{path}: {complaint}" for path, text in _files() for complaint in rule(path, text)
    ]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (no_machine_paths, "docs/a.md", "see " + "/ro" + "ot/x"),
        (no_machine_paths, "Makefile", "X=" + "/ho" + "me/someone/x"),
        (no_registries, "a.toml", "https://py" + "pi.org/simple"),
        (nothing_for_later, "infra/a", "# TO" + "DO: more"),
        (us_spelling, "README.md", "The Licen" + "ces"),
        (clean_line_ends, "a.md", "a \n"),
        (clean_line_ends, "a.md", "a"),
        (telling_names, "api/request_utils.py", ""),
        (telling_names, "tests/common/test_a.py", ""),
        (short_python, "api/a.py", "\n" * (MAX_PYTHON_LINES + 1)),
        (docstrings, "api/a.py", "x = 1\n"),
        (no_swallowed_errors, "api/a.py", "try:\n  f()\nexcept Exception:\n  pass\n"),
        (no_swallowed_errors, "api/a.py", "try:\n  f()\nexcept (OSError, Exception):\n  ...\n"),
        (no_print, "ledger/a.py", "print(1)\n"),
    ],
)
def test_the_rule_sees_an_offender(rule: Rule, path: str, text: str) -> None:
    assert list(rule(PurePosixPath(path), text))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-java.lock"])
def test_a_lock_pins_all_by_hash_and_names_no_index(name: str) -> None:
    entries = _locked(name)
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry
    text = (ROOT / name).read_text()
    assert not re.search(r"://| @ |--(index|extra-index|find-links|trusted)", text)


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = project["project"]["dependencies"] + extras["dev"] + project["build-system"]["requires"]
    assert _names(asked) <= _names(_locked("requirements.lock"))
    assert _names(extras["java"]) <= _names(_locked("requirements-java.lock"))


def _files() -> Iterator[tuple[PurePosixPath, str]]:
    """All files that are written by hand: neither the license's text, locks nor data."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: no telling which files belong to it")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=30
    )
    for name in listed.stdout.rstrip("\0").split("\0"):
        path = PurePosixPath(name)
        if name == "LICENSE" or path.suffix in {".lock", ".csv", ".jsonl", ".gz", ".bin"}:
            continue
        if (ROOT / path).is_file():
            yield path, (ROOT / path).read_text(encoding="utf-8")


def _found(needle: re.Pattern[str], text: str, complaint: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), 1):
        for found in needle.finditer(line):
            yield f"line {number}: {found[0]!r} is {complaint}"


def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"})
        for name in names
    )


def _does_nothing(handler: ast.ExceptHandler) -> bool:
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in handler.body
    )


def _locked(name: str) -> list[str]:
    """The lock's requirements, each with its hashes on one line."""
    return (ROOT / name).read_text().replace("\\\n", " ").strip().split("\n")


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^a-z0-9-]", asked.lower().replace("_", "-"))[0] for asked in requirements}
