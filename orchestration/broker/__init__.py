"""The Kafka-compatible broker: topics, offsets, bounded reads, dead letters."""
