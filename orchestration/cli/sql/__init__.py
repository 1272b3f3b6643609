"""`millrace sql`: queries on Flink SQL, ad hoc and persistent, and an interactive shell."""
