"""The log: what happened, in order. A Protocol, kept in Kafka or in memory."""
