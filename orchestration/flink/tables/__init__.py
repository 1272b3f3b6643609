"""What statements read and write: schemas, keys, connectors, sinks, tables by name."""
