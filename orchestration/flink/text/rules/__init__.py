"""The lexical rules V01 to V17 that SQL is checked by before anything is sent (orchestration.flink.text.validate)."""
