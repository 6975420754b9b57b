"""`ledger rehearse`: what this release, or later rules, would make of a ledger's own history."""
