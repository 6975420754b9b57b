"""What `ledger quarantine` does: look, explain, have it folded again, discard."""
