"""The log's beginning: whether each partition is this ledger's, by its genesis record.

What was compared is kept in the replica, so that a process of the API can start without Kafka.
"""

from __future__ import annotations
