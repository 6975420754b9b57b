"""What happened to licenses and what it means: pure values and pure functions.

No clock, no I/O, no framework. `docs/format.md` is the written form of what stands here.
"""
