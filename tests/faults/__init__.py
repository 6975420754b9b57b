"""The faults suite: what docs/faults.md shows, made for real."""
