"""A drill as one page that needs nothing but itself: no network, no script, no font."""

from __future__ import annotations

import re
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cli.drill.losses import DEFINITION
from cli.drill.report.chart import chart
from cli.drill.report.contents import Contents
from cli.drill.report.real_day import beside
from cli.drill.report.scale import NARROW, WIDE
from cli.drill.report.tables import answers, failed_tables, latency_tables

_TEMPLATE: Final = "page.html.j2"
_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|s|ms|min|GB)(?!\w))|(?<=[<>]) (?=\d)")
"""The space between a number and its unit, or between it and what compares it."""


def page(contents: Contents) -> str:
    """The page of a drill, as HTML."""
    environment = Environment(
        loader=PackageLoader("cli.drill.report", "templates"),
        autoescape=True,
        finalize=_together,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(
        contents=contents,
        charts=[chart(contents, size) for size in (WIDE, NARROW)],
        real_day=beside(contents),
        failed_tables=failed_tables(contents),
        latency_tables=latency_tables(contents),
        answers=answers(contents),
        definition=DEFINITION,
    )


def _together(value: object) -> object:
    """A value as it is printed: no line breaks between a number and its unit."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return _UNIT.sub("\u00a0", value)
    return value
