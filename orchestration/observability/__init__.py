"""Prometheus metrics of everything: what each source says now, on one page."""
