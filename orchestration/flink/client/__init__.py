"""Clients of the two services: SQL Gateway and cluster. HTTP, wire models, errors."""
