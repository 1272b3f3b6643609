"""SQL as text: tokens, statements, rules, templates. Nothing here talks to Flink."""
