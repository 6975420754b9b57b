"""How hard the laws are tried: the same few hundred examples in every run, or many new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "quick",
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    parent=settings.get_profile("quick"),
    max_examples=2_000,
    derandomize=False,
    print_blob=True,
)
settings.load_profile(os.environ.get("LEDGER_HYPOTHESIS", "quick"))
