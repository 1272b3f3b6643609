"""Millrace: a streaming lakehouse as one Dagster code location."""
