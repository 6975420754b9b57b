"""The catalog over HTTP: read from the replicas, changed by events, shown as resources."""
