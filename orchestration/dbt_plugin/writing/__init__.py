"""Writes a model's rows into an Iceberg table: one transaction, readers see the old rows or the new ones."""
