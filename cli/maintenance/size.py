"""Sizes and spans for people."""

from __future__ import annotations

from projector.capacity.wording import size

__all__ = ["size", "span"]


def span(seconds: float) -> str:
    """Seconds, as precisely as anybody would want to know."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter below
        return f"{seconds:.1f} s"
    if seconds < 100:  # noqa: PLR2004 - minutes from here on
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"  # noqa: PLR2004 - hours
