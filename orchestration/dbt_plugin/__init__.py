"""dbt on DuckDB with the Iceberg catalog attached: the attachment, the dbt-duckdb plugin, the runner. No Dagster."""
