"""Jobs: submit once, wait, cancel."""
