"""Checkpoints of the log as commands make, keep, and verify them."""
