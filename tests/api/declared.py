"""Which errors the API can answer: statuses and codes, read from the source and from refusals.

`Problem` makes every error. Whatever calls it with a code of its own is read; whatever hands a code
on that it was given makes errors too, and whoever calls that is read in its place. What remains,
codes out of tables by verdict, is found by refusing every verdict that there is.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import api
from api import refusals
from api.catalog import refusals as catalog_refusals
from api.problems import Problem
from ledger.domain import verdicts
from ledger.domain.catalog import verdicts as catalog_verdicts
from ledger.domain.catalog.verdicts import CatalogVerdict
from ledger.domain.verdicts import Verdict

Pair = tuple[int, str]

BY_VERDICT = (refusals, catalog_refusals)
"""Modules whose errors are made of verdicts."""
NO_REFUSALS = {
    verdicts.GRANTED,
    # answered before a verdict is made into an error: `api.verdicts.mismatch`
    verdicts.IDEMPOTENCY_MISMATCH,
    # of imported records, which have a sequence
    verdicts.ALREADY_APPLIED,
    verdicts.SOURCES_EXCEEDED,
    # of events that no route makes: rules, discarded records
    catalog_verdicts.STALE,
    catalog_verdicts.ALREADY_DISCARDED,
}


class Call(NamedTuple):
    """A call in a function of a module."""

    module: ModuleType
    function: ast.FunctionDef | ast.AsyncFunctionDef | None
    node: ast.Call

    def argument(self, callee: Any, name: str) -> ast.expr | None:  # noqa: ANN401 - callables
        """Argument for a parameter; None where its default is taken."""
        names = [each for each in inspect.signature(callee).parameters if each != "self"]
        given = dict(zip(names, self.node.args, strict=False))
        given |= {each.arg: each.value for each in self.node.keywords if each.arg}
        return given.get(name)

    def value(self, node: ast.expr) -> Any:  # noqa: ANN401 - whatever stands there
        """Value of an expression that its module alone tells; None of another."""
        try:
            return eval(ast.unparse(node), dict(vars(self.module)))  # noqa: S307 - our own source
        except NameError:
            return None


def answered() -> set[Pair]:
    """Status and code of each error that the API can answer."""
    return _written() | _refused()


def _written() -> set[Pair]:
    calls = [call for module in _modules() for call in _calls(module)]
    # A kind that takes no code has another problem's.
    known: list[Any] = [Problem, *Problem.__subclasses__()]
    kinds = [kind for kind in known if "code" in inspect.signature(kind).parameters]
    makers: dict[Any, tuple[str, int | None]] = dict.fromkeys(kinds, ("code", None))
    found: set[Pair] = set()
    while True:
        pairs, more = set(), dict(makers)
        for call in calls:
            callee = call.value(call.node.func)
            if not callable(callee) or callee not in makers:
                continue
            name, status = makers[callee]
            code = call.argument(callee, name)
            if status is None:
                status_at = call.argument(callee, "status")
                status = int(call.value(status_at)) if status_at is not None else None
            if code is None:
                told = inspect.signature(callee).parameters[name].default
            elif isinstance(code, ast.Name) and _takes(call.function, code.id):
                maker = vars(call.module)[call.function.name]  # type: ignore[union-attr]
                more[maker] = (code.id, status)
                continue
            else:
                told = call.value(code)
            assert told is not None or call.module in BY_VERDICT, ast.unparse(call.node)
            if told is not None:
                assert status is not None
                pairs.add((status, told))
        if more == makers:
            return found | pairs
        makers, found = more, pairs


def _takes(function: ast.FunctionDef | ast.AsyncFunctionDef | None, name: str) -> bool:
    if function is None:
        return False
    given = function.args
    return name in {each.arg for each in (*given.args, *given.kwonlyargs)}


def _refused() -> set[Pair]:
    """What every refusal of the fold comes to, asked for in each way."""
    pairs: set[Pair] = set()
    for code in _codes(verdicts):
        verdict = Verdict(
            code=code,
            offset=0,
            time_ms=0,
            content_digest="",
            seats_held=1,
            limit=1,
            epoch=0,
            machine="m",
        )
        ways: list[Callable[[Verdict], Problem]] = [
            refusals.issue_refusal,
            lambda each: refusals.activation_refusal(each, "a"),
            refusals.order_refusal,
            refusals.deactivation_refusal,
        ]
        told = {_pair(way(verdict)) for way in ways}
        # Those who know the verdict call it by a name; it never comes to the others.
        pairs |= told - ({_unnamed(code)} if len(told) > 1 else set())
    for code in _codes(catalog_verdicts):
        refused = CatalogVerdict(code=code, offset=0, time_ms=0, content_digest="", entity="e")
        pairs.add(_pair(catalog_refusals.catalog_refusal(refused)))
    return pairs


def _unnamed(code: str) -> Pair:
    return 422, code.upper().replace("-", "_")


def _pair(problem: Problem) -> Pair:
    return problem.status, problem.code


def _codes(module: ModuleType) -> set[str]:
    return {
        value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)
    } - NO_REFUSALS


def _modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(api.__path__, "api."):
        # What merely shows errors makes none.
        if found.name != "api.__main__" and not found.name.startswith("api.openapi"):
            yield importlib.import_module(found.name)


def _calls(module: ModuleType) -> Iterator[Call]:
    def within(
        node: ast.AST, function: ast.FunctionDef | ast.AsyncFunctionDef | None
    ) -> Iterator[Call]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                yield Call(module, function, child)
            inner = child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            yield from within(child, inner)

    yield from within(ast.parse(inspect.getsource(module)), None)
