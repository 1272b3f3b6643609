"""Flink: SQL Gateway and REST clients, sessions, script splitting, submit-and-wait."""
