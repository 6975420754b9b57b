"""What a refusal of the fold is called over HTTP."""

from __future__ import annotations

import pytest

from api.problems import Problem
from api.refusals import activation_refusal, deactivation_refusal, issue_refusal
from ledger.domain import verdicts
from ledger.domain.verdicts import Verdict

ACCOUNT = "5a2b0d1e-0c57-5c1e-9d2c-3a1f5b7c9e01"


def a_verdict(code: str) -> Verdict:
    return Verdict(
        code=code,
        offset=5,
        time_ms=0,
        content_digest="",
        seats_held=3,
        limit=3,
        epoch=1,
        machine="the-machine",
    )


def activation(verdict: Verdict) -> Problem:
    return activation_refusal(verdict, ACCOUNT)


@pytest.mark.parametrize(
    ("of", "code", "status", "told"),
    [
        (issue_refusal, verdicts.KEY_TAKEN, 422, "KEY_TAKEN"),
        (issue_refusal, verdicts.SOURCES_EXCEEDED, 422, "SOURCES_EXCEEDED"),
        (activation, verdicts.ALREADY_HELD, 422, "FINGERPRINT_TAKEN"),
        (activation, verdicts.SEATS_DIFFER, 422, "SEATS_DIFFER"),
        (activation, verdicts.LIMIT_EXCEEDED, 422, "MACHINE_LIMIT_EXCEEDED"),
        (activation, verdicts.SUSPENDED, 403, "LICENSE_SUSPENDED"),
        (activation, verdicts.EXPIRED, 403, "LICENSE_EXPIRED"),
        (activation, verdicts.NOT_FOUND, 404, "NOT_FOUND"),
        (activation, "of-later-rules", 422, "OF_LATER_RULES"),
        (deactivation_refusal, verdicts.NO_MACHINE, 404, "NOT_FOUND"),
        (deactivation_refusal, verdicts.NOT_FOUND, 404, "NOT_FOUND"),
        (deactivation_refusal, "of-later-rules", 422, "OF_LATER_RULES"),
    ],
)
def test_each_refusal_has_its_status_and_code(
    of: object, code: str, status: int, told: str
) -> None:
    assert callable(of)
    problem = of(a_verdict(code)).at("ledger:1.5")
    assert (problem.status, problem.code) == (status, told)
    assert problem.headers["Ledger-Position"] == "ledger:1.5"
    assert problem.error.title
    assert problem.error.detail.endswith(".")
    assert b'"position":"ledger:1.5"' in problem.document("request")
