"""All that knows Dagster: assets, checks, jobs, schedules, resources. Thin: the work is in the folders below."""
