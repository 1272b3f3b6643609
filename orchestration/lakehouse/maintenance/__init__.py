"""Keeping the tables fast: compaction, expiry, orphans, and rolling back; each beside whoever reads and writes them."""
