"""Import of another license server's history: scan the file, compare, send what is new, report."""
