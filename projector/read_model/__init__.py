"""The read model: where a replica keeps what was folded."""
