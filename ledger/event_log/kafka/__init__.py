"""The log in Kafka, over aiokafka's connections."""

from ledger.event_log.kafka.log import KafkaLog
from ledger.event_log.kafka.topics import create_topics

__all__ = ["KafkaLog", "create_topics"]
