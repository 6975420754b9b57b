"""The fifth of November, again: a naive license service and the ledger under the same faults."""
