"""Backing up the log into a folder, and restoring it from there."""
