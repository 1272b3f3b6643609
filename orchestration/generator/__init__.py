"""Parquet to events: sources, drift, encoding, pacing, landing each row once."""
