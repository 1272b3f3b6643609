"""Results: pages, typed rows, streams with limits, encodings."""
