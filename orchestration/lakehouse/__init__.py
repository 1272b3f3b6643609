"""The way of the data on Flink and Iceberg: bronze, silver and the accounting between them."""
