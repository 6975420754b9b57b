"""What is left of a drill: a page, the same in words for a ticket, and its outcome as JSON."""

from cli.drill.report.summary import summary_lines
from cli.drill.report.writing import Written, read, write

__all__ = ["Written", "read", "summary_lines", "write"]
