"""Checkpoints: what a log was up to a moment, signed, to recognize it by later."""
