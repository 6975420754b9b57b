"""A drill as one page that needs nothing but itself: no network, no script, no font."""

from __future__ import annotations

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cli.drill.losses import DEFINITION
from cli.drill.report.chart import chart
from cli.drill.report.contents import Contents
from cli.drill.report.real_day import beside
from cli.drill.report.scale import NARROW, WIDE

_TEMPLATE: Final = "page.html.j2"


def page(contents: Contents) -> str:
    """The page of a drill, as HTML."""
    environment = Environment(
        loader=PackageLoader("cli.drill.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE).render(
        contents=contents,
        charts=[chart(contents, size) for size in (WIDE, NARROW)],
        real_day=beside(contents),
        definition=DEFINITION,
    )
