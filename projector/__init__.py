"""From the log to the read model."""
