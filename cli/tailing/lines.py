"""What is told of events, a line each for people."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from cli import output
from cli.tailing.told import Told
from ledger.domain.clocks import rfc3339

UNTOLD: Final = "?"
_NARROW: Final = 100
_TWO_LINES: Final = 66
"""In a narrower terminal the name and the verdict stand below."""


class Lines:
    """Prints lines for people, as wide as the terminal; elsewhere as long as they are."""

    def __init__(self) -> None:
        self._console = output.console()

    def show(self, told: Told) -> None:
        """Print one event."""
        width = self._console.width
        wide, narrow = width >= _NARROW, self._console.is_terminal and width < _TWO_LINES
        at = rfc3339(told.timestamp_ms)
        kind = "undecodable" if told.type is None else _words(told.type)
        time = (f"{at[:19]}Z" if wide else at[5:19].replace("T", " "), 20 if wide else 14, "dim")
        subject = (told.subject[:8], 8, "")
        name = (told.name or "", 20 if wide else 12, "bold")
        event = (kind, 19 if wide else 15, "")
        style = "dim" if told.verdict is None else "green" if told.granted else "red"
        after = Text(told.verdict or UNTOLD, style=style)
        after.append(f"  {told.why}" if told.why else "", style="dim")
        if narrow:
            self._print(self._line(time, subject, event))
            self._print(Text("  ").append_text(self._line(name)).append_text(after))
        elif wide:
            who = (told.actor or "", 14, "dim")
            self._print(self._line(time, subject, name, event, who).append_text(after))
        else:
            self._print(self._line(time, subject, name, event).append_text(after))

    def _line(self, *columns: tuple[str, int, str]) -> Text:
        line = Text()
        for text, width, style in columns:
            line.append(f"{self._fit(output.plain(text).plain, width)}  ", style=style)
        return line

    def _print(self, line: Text) -> None:
        line.rstrip()
        if self._console.is_terminal:
            self._console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            print(line.plain, flush=True)

    def _fit(self, text: str, width: int) -> str:
        cut = self._console.is_terminal and len(text) > width
        return f"{text[: width - 1]}…" if cut else text.ljust(width)


def _words(type_: str) -> str:
    return type_.partition(".")[2].removesuffix("-requested").replace("-", " ")
