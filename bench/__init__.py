"""Figures, each beside its baseline in one run."""
