"""Queries that run until they are stopped: definition, registry, deploy, stop, upgrade, repair."""
