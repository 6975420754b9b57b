"""An upgrade rehearsed: the log folded in memory by this release, and what would change.

Nothing that serves is written. `comparing.py`: beside what a replica holds, which another release
has folded. `supposing.py`: beside itself under later rules. `outcome.py`: what is kept of the
latter, for whoever activates them.
"""
