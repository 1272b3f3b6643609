"""Flink SQL: the engine, and the clients and jobs of the pipeline. From the ground up:

text        SQL as text: tokens, statements, rules, templates
client      clients of the SQL Gateway and of the cluster
reading     results: pages, typed rows, streams with limits, encodings
sessions    gateway sessions, replay, heartbeat, pool
tables      schemas, keys, connectors, sinks, tables by name
jobs        submit once, wait, cancel
monitoring  health, metrics, alerts, log
queries     persistent queries: registry, deploy, stop, upgrade, repair
engine      the one object that commands, services, dbt and Dagster use; beside it providers, doctor, rounds of looking
"""
